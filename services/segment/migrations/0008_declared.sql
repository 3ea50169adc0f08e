-- Which of the attributes that the business declared are personal; and what segments are sorted by.

-- depends: 0007_journeys

ALTER TABLE declared_names ADD COLUMN personal boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN declared_names.personal IS 'of an attribute: shown only to roles that see what is personal';

ALTER TABLE segments ADD COLUMN labels text[] NOT NULL DEFAULT '{}';
