-- Which contacts are one person, as was said last. Facts stay under the contact they came with, so
-- that a merge moves nothing and can be undone; whoever counts people looks here.
-- depends: 0002_segment_names

CREATE TABLE people (
    contact_id text COLLATE "C" PRIMARY KEY,
    change_time timestamptz NOT NULL,
    merged boolean NOT NULL,
    person_id text COLLATE "C" NOT NULL
);
CREATE INDEX people_by_person ON people (person_id);
