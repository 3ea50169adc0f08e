-- What a backfill reads, how fast it goes, and by which rules everybody was looked at.

-- depends: 0011_cost

ALTER TABLE backfills
    ADD COLUMN attributes text[],
    ADD COLUMN whole boolean NOT NULL DEFAULT true,
    ADD COLUMN generation bigint NOT NULL DEFAULT 0,
    ADD COLUMN phase_time timestamptz,
    ADD COLUMN phase_passed_count bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN backfills.attributes IS 'those that are read; null: all that rules look at';
COMMENT ON COLUMN backfills.whole IS 'it reads of everybody what all rules look at';
COMMENT ON COLUMN backfills.generation IS 'of the rules by which everybody is looked at, at least';
COMMENT ON COLUMN backfills.phase_time IS 'since when it works at the phase without a pause';
COMMENT ON COLUMN backfills.phase_passed_count IS 'contacts that were passed before that';
