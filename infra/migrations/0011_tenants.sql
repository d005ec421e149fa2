-- What one tenant's readers see: the same names in schema tenant, and nothing of anybody else.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'streamgauge_tenant') THEN
        CREATE ROLE streamgauge_tenant NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server was migrated at the same moment
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role streamgauge_tenant is missing and % may not create it', current_user
            USING HINT = format(
                'As an administrator, run: CREATE ROLE streamgauge_tenant NOLOGIN;'
                ' GRANT streamgauge_tenant TO %I WITH ADMIN OPTION;', current_user
            );
END
$$;

CREATE SCHEMA tenant;
COMMENT ON SCHEMA tenant IS 'What the readers of one tenant see of views, tables and functions';
GRANT USAGE ON SCHEMA tenant TO streamgauge_tenant;

-- By its number, not by its name: a role of the same name that is made later is another one.
CREATE TABLE tenant_readers (
    reader regrole PRIMARY KEY,
    tenant text NOT NULL
);

COMMENT ON TABLE tenant_readers IS 'Which tenant each of their readers belongs to: streamgauge_tenant''s members see nothing of others, and nothing at all without a row here';
COMMENT ON COLUMN tenant_readers.reader IS 'The role that asks';
COMMENT ON COLUMN tenant_readers.tenant IS 'Whose data it sees';

-- All views of this schema ask it. Who asks is who has logged in or what SET ROLE has made of them, which only
-- members of a role can; nothing that anybody may set otherwise decides.
CREATE VIEW tenant.reader WITH (security_barrier) AS
SELECT tenant FROM tenant_readers WHERE reader = quote_ident(current_user)::regrole;

COMMENT ON VIEW tenant.reader IS 'The tenant whose data the asking role sees; no row where it is bound to none';
COMMENT ON COLUMN tenant.reader.tenant IS 'Name of the tenant';

CREATE FUNCTION tenant.mine() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.tenant FROM tenant.reader AS r;
END;

COMMENT ON FUNCTION tenant.mine IS 'The tenant whose data the asking role sees; NULL where it is bound to none';

-- Conditions on what a volatile function returns stay outside the view that calls it. In the plan nothing is left
-- of this one: it is inlined.
CREATE FUNCTION tenant.measured(anyelement) RETURNS anyelement
LANGUAGE sql VOLATILE PARALLEL SAFE
AS 'SELECT $1';

COMMENT ON FUNCTION tenant.measured(anyelement) IS 'What it is given. No condition on it is asked of the rows of others';

-- A barrier, not row security: hypertables that have the latter cannot be compressed. Behind it the conditions
-- of whoever asks come after the tenant's, unless they can give nothing away: = < <= > >= of numbers, times, texts.
-- Of these EXPLAIN ANALYZE tells how many rows they passed by, those of others among them. So none of them may
-- be on what was measured.
CREATE FUNCTION show_to_tenants(shown regclass)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    same_name CONSTANT text := format('tenant.%I', (SELECT relname FROM pg_class WHERE oid = shown));
    has_tenant CONSTANT boolean := EXISTS (SELECT FROM pg_attribute WHERE attrelid = shown AND attname = 'tenant');
    -- Rollups look these up for the number that a series has, so a condition on them comes after the tenant's.
    -- What is volatile would be looked up where nobody asks for it.
    of_series CONSTANT name[] := ARRAY['increase', 'rate', 'time_weighted_mean'];
    columns CONSTANT text := (
        SELECT string_agg(CASE
            WHEN atttypid IN ('double precision'::regtype, 'smallint'::regtype) AND attname <> ALL (of_series)
                THEN format('tenant.measured(shown.%1$I) AS %1$I', attname)
            ELSE format('shown.%I', attname)
        END, ', ' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = shown AND attnum > 0 AND NOT attisdropped
    );
    commented record;
BEGIN
    EXECUTE format(
        CASE WHEN has_tenant
            THEN 'CREATE OR REPLACE VIEW %1$s WITH (security_barrier) AS SELECT %3$s FROM %2$s AS shown'
                 ' WHERE shown.tenant = (SELECT r.tenant FROM tenant.reader AS r)'
            ELSE 'CREATE OR REPLACE VIEW %1$s WITH (security_barrier) AS SELECT %3$s FROM %2$s AS shown'
                 ' JOIN series AS s USING (series_id) WHERE s.tenant = (SELECT r.tenant FROM tenant.reader AS r)'
        END, same_name, shown, columns
    );
    EXECUTE format('GRANT SELECT ON %s TO streamgauge_tenant', same_name);
    EXECUTE format('COMMENT ON VIEW %s IS %L', same_name, obj_description(shown, 'pg_class') || ', of the reader''s tenant');
    FOR commented IN
        SELECT attname, col_description(shown, attnum) AS said FROM pg_attribute
        WHERE attrelid = shown AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', same_name, commented.attname, commented.said);
    END LOOP;
END
$$;

COMMENT ON FUNCTION show_to_tenants(regclass) IS 'Makes a view of the same name in schema tenant that has the rows of the asking reader''s tenant; of a table or view with a column tenant or series_id';

-- The same text, where names find what schema tenant has.
CREATE FUNCTION show_to_tenants(shown regprocedure)
RETURNS void
LANGUAGE plpgsql
SET search_path TO public
AS $$
DECLARE
    same_name text;
    definition text;
BEGIN
    SELECT format('tenant.%I(%s)', proname, pg_get_function_identity_arguments(oid)) INTO same_name
    FROM pg_proc WHERE oid = shown;
    definition := replace(pg_get_functiondef(shown), '''public''', '''tenant'', ''public''');
    definition := replace(definition, 'public.', 'tenant.');
    definition := replace(definition, 'DEFAULT ''default''::text', 'DEFAULT tenant.mine()');
    PERFORM set_config('search_path', 'tenant, public', true);
    EXECUTE definition;
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO streamgauge_tenant', same_name);
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', same_name, obj_description(shown, 'pg_proc'));
END
$$;

COMMENT ON FUNCTION show_to_tenants(regprocedure) IS 'Makes a function of the same name in schema tenant that asks what that schema has';

ALTER FUNCTION set_rollup_levels RENAME TO keep_rollup_levels;
CREATE FUNCTION set_rollup_levels(wanted_s integer[], names text[])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    level text;
BEGIN
    FOR level IN SELECT name FROM rollup_levels WHERE width_s <> ALL (wanted_s) LOOP
        EXECUTE format('DROP VIEW tenant.rollup_%s', level);
    END LOOP;
    PERFORM keep_rollup_levels(wanted_s, names);
    FOREACH level IN ARRAY names LOOP
        PERFORM show_to_tenants(format('rollup_%s', level)::regclass);
    END LOOP;
END
$$;

COMMENT ON FUNCTION keep_rollup_levels IS 'Does what set_rollup_levels does, but for what tenants'' readers see';
COMMENT ON FUNCTION set_rollup_levels IS 'Keeps rollups of these levels from now on, each a multiple of the one before, and shows them to tenants'' readers; computes what is new from what is there';

CREATE FUNCTION bind_reader(reader regrole, to_tenant text)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    around name;
    setting text;
BEGIN
    SELECT rolname INTO around FROM pg_roles
    WHERE pg_has_role(reader, oid, 'MEMBER')
      AND (has_table_privilege(oid, 'public.series', 'SELECT') OR has_table_privilege(oid, 'public.readings', 'SELECT'))
    ORDER BY oid <> reader, rolname LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'role % sees the readings of all tenants as %', reader, around
            USING ERRCODE = 'invalid_grant_operation', HINT = 'Bind a role that has no other rights: CREATE ROLE acme_reader LOGIN PASSWORD ''...''';
    END IF;
    INSERT INTO tenant_readers AS bound VALUES (bind_reader.reader, to_tenant)
    ON CONFLICT ON CONSTRAINT tenant_readers_pkey DO UPDATE SET tenant = excluded.tenant;
    EXECUTE format('GRANT streamgauge_tenant TO %s', reader);
    FOREACH setting IN ARRAY ARRAY[
        'search_path = tenant, public', 'statement_timeout = ''5min''', 'default_transaction_read_only = on',
        'idle_in_transaction_session_timeout = ''5min'''
    ] LOOP
        EXECUTE format('ALTER ROLE %s IN DATABASE %I SET %s', reader, current_database(), setting);
    END LOOP;
END
$$;

COMMENT ON FUNCTION bind_reader IS 'Lets a role read what one tenant has, and nothing else, with an analyst''s limits; an error where the role has other ways to readings';

SELECT show_to_tenants(shown::regclass)
FROM unnest(ARRAY[
    'series', 'readings', 'readings_named', 'reading_versions', 'producers', 'producer_gaps', 'latest', 'series_catalogue', 'metrics'
]) AS shown;
SELECT show_to_tenants(format('rollup_%s', name)::regclass) FROM rollup_levels;
SELECT show_to_tenants(shown::regprocedure)
FROM (
    SELECT oid AS shown FROM pg_proc AS p
    WHERE pronamespace = 'public'::regnamespace
      AND has_function_privilege('streamgauge_reader', oid, 'EXECUTE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
    ORDER BY oid
) AS of_readers;


-- Made of a function, which asks with the rights of whoever looks at the view.
CREATE VIEW tenant.v_gaps WITH (security_barrier) AS
SELECT * FROM tenant.gaps(now() - INTERVAL '1 day', now());
CREATE VIEW tenant.rollup_levels WITH (security_barrier) AS
SELECT width_s, name FROM public.rollup_levels;

DO $$
DECLARE
    commented record;
BEGIN
    FOR commented IN
        SELECT relname, attname, obj_description(c.oid, 'pg_class') AS of_all, col_description(c.oid, attnum) AS said
        FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid
        WHERE c.oid IN ('public.v_gaps'::regclass, 'public.rollup_levels'::regclass) AND attnum > 0
    LOOP
        EXECUTE format('COMMENT ON VIEW tenant.%I IS %L', commented.relname, commented.of_all);
        EXECUTE format('COMMENT ON COLUMN tenant.%I.%I IS %L', commented.relname, commented.attname, commented.said);
    END LOOP;
END
$$;

GRANT SELECT ON tenant.reader, tenant.v_gaps, tenant.rollup_levels TO streamgauge_tenant;
GRANT EXECUTE ON FUNCTION tenant.mine(), tenant.measured(anyelement) TO streamgauge_tenant;
