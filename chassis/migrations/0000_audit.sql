-- What people and tools had done.

-- depends: 0000_chassis

CREATE TABLE audit (
    audit_id text COLLATE "C" PRIMARY KEY, -- sorts by the moment
    audit_time bigint NOT NULL,
    caller text NOT NULL,
    role text NOT NULL,
    method text NOT NULL,
    purpose text NOT NULL,
    resource text COLLATE "C" NOT NULL,
    request_id text NOT NULL,
    -- The status; empty: it began, and nobody saw its end
    outcome text NOT NULL
);
CREATE INDEX audit_by_resource ON audit (resource, audit_id);
CREATE INDEX audit_by_time ON audit USING brin (audit_time);
