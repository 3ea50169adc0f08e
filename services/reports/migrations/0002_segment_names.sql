-- What segments are called, and whether they are still in use, as was said last.
-- depends: 0001_facts

CREATE TABLE segment_names (
    segment_id text COLLATE "C" PRIMARY KEY,
    change_time timestamptz NOT NULL,
    version integer NOT NULL,
    state text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    display_name text COLLATE "C" NOT NULL
);
