-- Whom an address is for, when it is for one person alone: then it may say something of them. Empty:
-- for several, or for nobody in particular.

-- depends: 0006_erasures
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE link_targets ADD COLUMN contact_id text NOT NULL DEFAULT '';
CREATE INDEX link_targets_contact ON link_targets (contact_id) WHERE contact_id <> '';
