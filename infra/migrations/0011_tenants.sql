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

COMMENT ON FUNCTION tenant.mine() IS 'The tenant whose data the asking role sees; NULL where it is bound to none';

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
            WHEN (atttypid IN ('double precision'::regtype, 'smallint'::regtype) OR attname = 'bad')
                 AND attname <> ALL (of_series)
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

ALTER FUNCTION set_rollup_levels(integer[], text[]) RENAME TO keep_rollup_levels;
CREATE FUNCTION set_rollup_levels(wanted_s integer[], names text[])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    level text;
BEGIN
    -- Nobody changes what levels there are.
    PERFORM pg_advisory_xact_lock(hashtext('streamgauge rollups'));
    FOR level IN SELECT name FROM rollup_levels WHERE width_s <> ALL (wanted_s) LOOP
        EXECUTE format('DROP VIEW tenant.rollup_%s', level);
    END LOOP;
    PERFORM keep_rollup_levels(wanted_s, names);
    FOREACH level IN ARRAY names LOOP
        PERFORM show_to_tenants(format('rollup_%s', level)::regclass);
    END LOOP;
END
$$;

COMMENT ON FUNCTION keep_rollup_levels(integer[], text[]) IS 'Does what set_rollup_levels does, but for what tenants'' readers see';
COMMENT ON FUNCTION set_rollup_levels(integer[], text[]) IS 'Keeps rollups of these levels from now on, each a multiple of the one before, and shows them to tenants'' readers; computes what is new from what is there';

-- Everybody may take advisory locks, and hold those that workers take turns by. Only a superuser can change that.
CREATE FUNCTION advisory_locks_of_all()
RETURNS SETOF regprocedure
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace
      AND proname ~ '^pg_(try_)?advisory_(xact_)?lock(_shared)?$'
      AND has_function_privilege('public', oid, 'EXECUTE');
END;

CREATE FUNCTION keep_locks_from_readers()
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    owner CONSTANT regrole := (SELECT relowner FROM pg_class WHERE oid = 'tenant_readers'::regclass);
    lock regprocedure;
BEGIN
    FOR lock IN SELECT advisory_locks_of_all() LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', lock);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s, streamgauge_writer', lock, owner);
    END LOOP;
    IF EXISTS (SELECT advisory_locks_of_all()) THEN
        RAISE EXCEPTION '% may not take advisory locks from others', quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'In this database and as a superuser, run: SELECT keep_locks_from_readers();';
    END IF;
END
$$;

COMMENT ON FUNCTION advisory_locks_of_all() IS 'The functions that take advisory locks and may be called by everybody';
COMMENT ON FUNCTION keep_locks_from_readers() IS 'Leaves advisory locks to the workers and the owner of this database; whatever else uses some here needs a GRANT of its own';

-- As it was, but for its lock, which readers have no right to take.
CREATE OR REPLACE FUNCTION register_series(
    their_tenants text[], sources text[], metrics text[], said jsonb[],
    home_topics text[], home_partitions integer[], max_per_tenant integer
)
RETURNS TABLE (
    tenant text, source text, metric text, series_id integer, home_topic text, home_partition integer,
    adopted boolean
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    homeless integer[] := '{}';
BEGIN
    IF EXISTS (SELECT FROM find_series(their_tenants, sources, metrics, said) WHERE NOT up_to_date) THEN
        LOCK TABLE tenants IN SHARE ROW EXCLUSIVE MODE;
        homeless := ARRAY(
            SELECT f.series_id FROM find_series(their_tenants, sources, metrics, said) AS f
            WHERE f.series_id IS NOT NULL AND f.home_topic IS NULL
        );

        WITH unknown AS (
            SELECT f.*, row_number() OVER (PARTITION BY f.tenant ORDER BY f.nth) AS rank
            FROM find_series(their_tenants, sources, metrics, said) AS f
            WHERE f.series_id IS NULL
        ), added AS (
            INSERT INTO series (tenant, source, metric, attributes, home_topic, home_partition)
            SELECT u.tenant, u.source, u.metric, u.attributes, home_topics[u.nth], home_partitions[u.nth]
            FROM unknown AS u
            LEFT JOIN tenants AS t USING (tenant)
            WHERE u.rank <= max_per_tenant - coalesce(t.series_count, 0)
            ORDER BY u.nth
            RETURNING tenant
        )
        INSERT INTO tenants AS t (tenant, series_count)
        SELECT a.tenant, count(*) FROM added AS a GROUP BY a.tenant
        ON CONFLICT (tenant) DO UPDATE SET series_count = t.series_count + excluded.series_count;

        UPDATE series AS s
        SET attributes = s.attributes || f.attributes,
            home_topic = coalesce(s.home_topic, home_topics[f.nth]),
            home_partition = coalesce(s.home_partition, home_partitions[f.nth])
        FROM find_series(their_tenants, sources, metrics, said) AS f
        WHERE s.series_id = f.series_id AND NOT f.up_to_date;
    END IF;

    RETURN QUERY
    SELECT f.tenant, f.source, f.metric, f.series_id, f.home_topic, f.home_partition,
           coalesce(f.series_id = ANY(homeless), false)
    FROM find_series(their_tenants, sources, metrics, said) AS f;
END
$$;

CREATE FUNCTION bind_reader(reader regrole, to_tenant text)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    found_as name;
    found_of name;
    setting text;
BEGIN
    SELECT r.rolname, c.relname INTO found_as, found_of
    FROM pg_roles AS r
    JOIN pg_class AS c ON has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
                       OR has_table_privilege(r.oid, c.oid, 'DELETE, TRUNCATE, TRIGGER')
    WHERE pg_has_role(reader, r.oid, 'MEMBER')
      AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
    ORDER BY r.oid <> reader, r.rolname, c.relname LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'role % has rights to % as %', reader, quote_ident(found_of), quote_ident(found_as)
            USING ERRCODE = 'invalid_grant_operation',
                  HINT = 'Bind a role that has no other rights: CREATE ROLE acme_reader LOGIN PASSWORD ''...''';
    END IF;
    SELECT r.rolname INTO found_as FROM tenant_readers AS b JOIN pg_roles AS r ON r.oid = b.reader
    WHERE r.oid <> bind_reader.reader
      AND (pg_has_role(bind_reader.reader, r.oid, 'MEMBER') OR pg_has_role(r.oid, bind_reader.reader, 'MEMBER'))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'of role % and %, which is bound, one is a member of the other', reader, quote_ident(found_as)
            USING ERRCODE = 'invalid_grant_operation', HINT = 'A member can become the other, and see its tenant: revoke that.';
    END IF;
    IF NOT EXISTS (SELECT FROM tenants WHERE tenant = to_tenant) THEN
        RAISE WARNING 'tenant % has no series yet', quote_nullable(to_tenant)
            USING HINT = 'If that is not its name, bind the role again.';
    END IF;

    DELETE FROM tenant_readers AS b WHERE NOT EXISTS (SELECT FROM pg_roles WHERE oid = b.reader);
    INSERT INTO tenant_readers AS bound VALUES (bind_reader.reader, to_tenant)
    ON CONFLICT ON CONSTRAINT tenant_readers_pkey DO UPDATE SET tenant = excluded.tenant;
    BEGIN
        EXECUTE format('GRANT streamgauge_tenant TO %s WITH INHERIT TRUE', reader);
        FOREACH setting IN ARRAY ARRAY[
            'search_path = tenant, public', 'statement_timeout = ''5min''', 'default_transaction_read_only = on',
            'idle_in_transaction_session_timeout = ''5min''', 'idle_session_timeout = ''1h'''
        ] LOOP
            EXECUTE format('ALTER ROLE %s IN DATABASE %I SET %s', reader, current_database(), setting);
        END LOOP;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE EXCEPTION '% may not bind role %: %', quote_ident(current_user), reader, SQLERRM
            USING ERRCODE = 'insufficient_privilege', HINT = format(
                'As an administrator, run: GRANT streamgauge_tenant, %s TO %I WITH ADMIN OPTION;', reader, current_user
            );
    END;
    IF EXISTS (SELECT advisory_locks_of_all()) THEN
        RAISE WARNING 'role % may hold the locks that workers take turns by', reader
            USING HINT = 'In this database and as a superuser, run: SELECT keep_locks_from_readers();';
    END IF;
END
$$;

COMMENT ON FUNCTION bind_reader(regrole, text) IS 'Lets a role read what one tenant has, and nothing else, with an analyst''s limits; an error where the role has rights in schema public, or where it and another reader can become one another';

SELECT show_to_tenants(shown::regclass)
FROM unnest(ARRAY[
    'series', 'readings', 'readings_named', 'reading_versions', 'producers', 'producer_gaps', 'latest', 'series_catalogue', 'metrics'
]) AS shown;
SELECT show_to_tenants(format('rollup_%s', name)::regclass) FROM rollup_levels;
SELECT show_to_tenants(shown::regprocedure)
FROM (
    SELECT oid AS shown FROM pg_proc AS p
    WHERE pronamespace = 'public'::regnamespace
      AND EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 'streamgauge_reader'::regrole)
      AND NOT prosecdef -- they tell something of the whole, for plans
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
        SELECT relname, a.attname, obj_description(c.oid, 'pg_class') AS of_all, col_description(c.oid, a.attnum) AS said
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        JOIN pg_attribute AS shown ON shown.attrelid = format('tenant.%I', relname)::regclass AND shown.attname = a.attname
        WHERE c.oid IN ('public.v_gaps'::regclass, 'public.rollup_levels'::regclass) AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON VIEW tenant.%I IS %L', commented.relname, commented.of_all);
        EXECUTE format('COMMENT ON COLUMN tenant.%I.%I IS %L', commented.relname, commented.attname, commented.said);
    END LOOP;
END
$$;

GRANT SELECT ON tenant.reader, tenant.v_gaps, tenant.rollup_levels TO streamgauge_tenant;
GRANT EXECUTE ON FUNCTION tenant.mine(), tenant.measured(anyelement) TO streamgauge_tenant;
GRANT EXECUTE ON FUNCTION open_since(), is_open_since(timestamptz), recently() TO streamgauge_tenant;
