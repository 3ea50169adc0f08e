-- Fewer pages for each contact that is read or changed: of a million contacts hardly any page is in
-- memory already.

-- depends: 0005_rights
-- contract: of the first release, so no version before it runs beside it

-- Where a contact stands is in its own row, which every change reads and writes anyway: a JSON list
-- of what `Standing` has. `standings` keeps what is counted and looked for.
ALTER TABLE contacts ADD COLUMN standing text;
UPDATE contacts c SET standing = json_build_array(
    s.stage, s.enter_time, s.previous_stage, s.score, s.level, s.due_time, s.version
)::text FROM standings s WHERE s.contact_id = c.contact_id;
ALTER TABLE standings
    DROP COLUMN stage,
    DROP COLUMN enter_time,
    DROP COLUMN previous_stage,
    DROP COLUMN level,
    DROP COLUMN version;

-- What an index leads to stands in it: neither of these tables is looked at itself any more.
ALTER TABLE identities DROP CONSTRAINT identities_pkey,
    ADD PRIMARY KEY (identity) INCLUDE (contact_id);
ALTER TABLE keys DROP CONSTRAINT keys_pkey,
    ADD PRIMARY KEY (contact_id) INCLUDE (master_id, wrapped);
