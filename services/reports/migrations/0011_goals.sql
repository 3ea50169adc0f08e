-- What messages brought by each definition of success, and the ads by which people came.
-- depends: 0010_alerts_and_gates

-- By definition and currency, the built-in one among them, a row for each message that brought or
-- touched something. Few messages do, so these are not summed up further.
CREATE TABLE message_conversions (
    message_id text COLLATE "C" NOT NULL,
    conversion_id text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    -- Of the message: when it counts, what it is counted by, the segments of its contact
    counted_time timestamptz NOT NULL,
    cube_id bigint NOT NULL,
    segments text[] NOT NULL,
    -- Whether the message converted or touched, once for all currencies
    converted boolean NOT NULL,
    touched boolean NOT NULL,
    conversions integer NOT NULL,
    revenue_micros bigint NOT NULL,
    touches integer NOT NULL,
    touched_revenue_micros bigint NOT NULL,
    PRIMARY KEY (message_id, conversion_id, currency)
);
CREATE INDEX message_conversions_by_time ON message_conversions (conversion_id, counted_time);

-- When people came by click-to-WhatsApp ads, and what each brought where it was the first.
CREATE TABLE arrivals (
    contact_id text COLLATE "C" NOT NULL,
    letter_id text COLLATE "C" NOT NULL,
    arrive_time timestamptz NOT NULL,
    ad_id text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    -- [{conversion_id, currency, conversions, revenue_micros}]
    sales jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (contact_id, letter_id)
);
CREATE INDEX arrivals_by_time ON arrivals (arrive_time);

-- What ads are called, as was said last.
CREATE TABLE ads (
    ad_id text COLLATE "C" PRIMARY KEY,
    say_time timestamptz NOT NULL,
    headline text NOT NULL
);

-- Up to whom everybody was looked at again who ordered something, or did what a definition counts,
-- before there were these tables; no row once that is done. No revisions: replicas of before would
-- take them and write nothing here.
CREATE TABLE goals_catch_up (reached text COLLATE "C" NOT NULL);
INSERT INTO goals_catch_up VALUES ('');
