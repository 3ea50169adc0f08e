-- Where short links lead. All else about a link stands in its signed token, so a campaign has one row
-- for each of its addresses, however many people get it.

-- depends: 0004_segments
-- contract: of the first release, so no version before it runs beside it

DROP TABLE links;

CREATE TABLE link_targets (
    -- What tokens name; never given twice.
    target_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A hash of campaign and address: an address may be too long for an index.
    link_id text NOT NULL UNIQUE,
    campaign_id text NOT NULL,
    url text NOT NULL,
    -- When the last link that leads here expires.
    expire_time timestamptz NOT NULL
);
CREATE INDEX link_targets_expire_time ON link_targets (expire_time);
