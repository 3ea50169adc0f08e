-- What is known of a business number beside its pace, files that somebody brought, and where they
-- stand at Meta.

-- depends: 0005_pace

ALTER TABLE numbers
    ADD COLUMN country_code text NOT NULL DEFAULT '',
    ADD COLUMN credential_name text NOT NULL DEFAULT 'default',
    ADD COLUMN throughput_limit double precision NOT NULL DEFAULT 0,
    ADD COLUMN reply_share double precision,
    ADD COLUMN marketing_endpoint boolean NOT NULL DEFAULT false,
    ADD COLUMN health text NOT NULL DEFAULT '',
    ADD COLUMN restriction text NOT NULL DEFAULT '',
    ADD COLUMN restricted_until bigint NOT NULL DEFAULT 0,
    ADD COLUMN restriction_reason text NOT NULL DEFAULT '',
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    -- Since when each of the facts that webhooks tell holds: what is older changes nothing.
    ADD COLUMN limit_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN level_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN quality_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN name_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN restriction_time bigint NOT NULL DEFAULT 0,
    -- When Meta is to be asked again, and who is at it until then.
    ADD COLUMN ask_time bigint NOT NULL DEFAULT 0;

CREATE TABLE files (
    file_id text PRIMARY KEY,
    name text NOT NULL,
    mime_type text NOT NULL,
    size_bytes bigint NOT NULL DEFAULT 0,
    sha256 text NOT NULL DEFAULT '', -- empty while bytes are to come
    animated boolean NOT NULL DEFAULT false,
    create_time bigint NOT NULL,
    expire_time bigint NOT NULL, -- 0: never
    change_time bigint NOT NULL
);
CREATE INDEX files_ending ON files (expire_time) WHERE expire_time > 0;
CREATE INDEX files_begun ON files (change_time) WHERE sha256 = '';

CREATE TABLE file_parts (
    file_id text NOT NULL,
    position bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (file_id, position)
);
-- Pictures, films and documents are compressed already.
ALTER TABLE file_parts ALTER COLUMN data SET STORAGE EXTERNAL;

-- The same content is on Meta once for each number.
CREATE TABLE uploads (
    phone_number_id text NOT NULL,
    sha256 text NOT NULL,
    mime_type text NOT NULL,
    media_id text NOT NULL,
    expire_time bigint NOT NULL,
    PRIMARY KEY (phone_number_id, sha256, mime_type)
);
