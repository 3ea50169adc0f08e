-- One index fewer for each occurrence: an id is known once, whoever it is of, and what is of a
-- contact is found by what has a shared cause, too.

-- depends: 0010_shared_causes
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE occurrences DROP CONSTRAINT occurrences_pkey;
DROP INDEX occurrences_by_id;
ALTER TABLE occurrences ADD PRIMARY KEY (occurrence_id);
DROP INDEX occurrences_shared;
CREATE INDEX occurrences_by_contact ON occurrences (contact_id, shared_cause);
