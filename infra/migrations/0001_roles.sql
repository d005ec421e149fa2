-- The two roles beside the owner, who is whoever migrates.
-- They have no login of their own here: grant them to your users, or give them one with ALTER ROLE.
-- Each later migration grants by name what it creates; nothing is granted in advance.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['streamgauge_writer', 'streamgauge_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;  -- another database of this server was migrated at the same moment
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % is missing and % may not create it', wanted, current_user
                        USING HINT = format('As an administrator, run: CREATE ROLE %I NOLOGIN;', wanted);
            END;
        END IF;
    END LOOP;
END
$$;

DO $$
BEGIN
    EXECUTE format(
        'ALTER ROLE streamgauge_reader IN DATABASE %I SET statement_timeout = %L', current_database(), '5min'
    );
    EXECUTE format(
        'ALTER ROLE streamgauge_reader IN DATABASE %I SET default_transaction_read_only = on', current_database()
    );
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'analysts get no statement timeout: % may not change role streamgauge_reader', current_user;
END
$$;

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO streamgauge_writer, streamgauge_reader;
