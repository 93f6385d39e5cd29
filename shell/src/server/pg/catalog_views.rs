//! Views of pg_catalog and information_schema, as queries over pg_catalog's tables, put where their names stand.
//!
//! PostgreSQL has them as views, too. Those of `datafusion-pg-catalog` are empty or know no kinds of relations, and
//! DataFusion's information_schema speaks of Arrow's types and counts columns from 0. Materialized views are listed in
//! `information_schema.tables`, which PostgreSQL does not do, because clients that know nothing else look there.

use sqlparser::ast::{Ident, ObjectName, SetExpr, Statement, TableAlias, TableFactor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::catalog_keys::COLUMNS;
use super::catalog_rewrite::{last_part, parameters};
use super::command::SETTINGS;

/// Relations of pg_catalog, with the names of their schemas.
const RELATIONS: &str =
    "default_catalog.pg_catalog.pg_class c JOIN default_catalog.pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
/// The schema of their tables, with the database before it, so that no WITH of the same name hides one of them.
const TABLES: &str = "default_catalog.pg_catalog";
/// Name of the database as a column.
const CATALOG: &str = "CAST('default_catalog' AS TEXT)";

/// Views and functions that have no rows here, with their columns, which are text where nothing else is said.
const EMPTY: &[(&str, &str)] = &[
    ("pg_available_extensions", "name default_version installed_version comment"),
    ("pg_available_extension_versions", "name version installed superuser trusted relocatable schema requires comment"),
    ("pg_cursors", "name statement is_holdable is_binary is_scrollable creation_time"),
    ("pg_listening_channels", "channel"),
    ("pg_parameter_acl", "oid parname paracl"),
    ("pg_partition_tree", "relid parentrelid isleaf:BOOLEAN level"),
    ("pg_policies", "schemaname tablename policyname permissive roles cmd qual with_check"),
    ("pg_prepared_statements", "name statement prepare_time parameter_types result_types from_sql"),
    ("pg_prepared_xacts", "transaction gid prepared owner database"),
    ("pg_publication_tables", "pubname schemaname tablename attnames rowfilter"),
    ("pg_rules", "schemaname tablename rulename definition"),
    ("pg_sequences", "schemaname sequencename sequenceowner data_type start_value min_value max_value last_value"),
    ("pg_timezone_names", "name abbrev utc_offset is_dst"),
    ("pg_ts_config_map", "mapcfg maptokentype mapseqno mapdict"),
    ("pg_user_mappings", "umid srvid srvname umuser usename umoptions"),
    ("ts_token_type", "tokid alias description"),
];

/// What takes the place of a table in FROM: the query of the view that its name stands for.
pub fn expand(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args, .. } = factor else { return };
    let Some(view) = last_part(name) else { return };
    let Some(text) = query_of(schema(name).as_deref(), &view, &parameters(args)) else { return };
    let Some(mut query) = parsed(&text) else { return };
    let alias = alias.take().unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new(view),
        columns: Vec::new(),
        at: None,
    });
    if let TableFactor::Derived { alias: own, .. } = &mut query {
        *own = Some(alias);
    }
    *factor = query;
}

fn schema(name: &ObjectName) -> Option<String> {
    let before = name.0.len().checked_sub(2)?;
    name.0.get(before)?.as_ident().map(|ident| ident.value.to_lowercase())
}

/// `(query)` as it stands in FROM.
fn parsed(query: &str) -> Option<TableFactor> {
    let statement = Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT 1 FROM ({query})")).ok()?.pop()?;
    let Statement::Query(query) = statement else { return None };
    let SetExpr::Select(mut select) = *query.body else { return None };
    select.from.pop().map(|table| table.relation)
}

/// `parameters` are conditions on those of a function.
fn query_of(schema: Option<&str>, view: &str, parameters: &str) -> Option<String> {
    match schema {
        Some("information_schema") => information(view),
        Some("pg_catalog") | None => {
            let empty = EMPTY.iter().find(|(name, _)| *name == view);
            empty.map(|(_, columns)| nothing(columns, parameters)).or_else(|| postgres(view))
        }
        Some(_) => None,
    }
}

fn nothing(columns: &str, parameters: &str) -> String {
    let column = |column: &str| {
        let (name, data_type) = column.split_once(':').unwrap_or((column, "TEXT"));
        format!("CAST(NULL AS {data_type}) AS {name}")
    };
    let columns: Vec<String> = columns.split(' ').map(column).collect();
    format!("SELECT {} WHERE false{parameters}", columns.join(", "))
}

fn postgres(view: &str) -> Option<String> {
    let owner = "pg_get_userbyid(c.relowner)";
    Some(match view {
        "pg_tables" => format!(
            "SELECT n.nspname AS schemaname, c.relname AS tablename, {owner} AS tableowner, \
             CAST(NULL AS TEXT) AS tablespace, c.relhasindex AS hasindexes, c.relhasrules AS hasrules, \
             c.relhastriggers AS hastriggers, c.relrowsecurity AS rowsecurity FROM {RELATIONS} WHERE c.relkind = 'r'"
        ),
        "pg_views" => format!(
            "SELECT n.nspname AS schemaname, c.relname AS viewname, {owner} AS viewowner, \
             pg_get_viewdef(c.oid) AS definition FROM {RELATIONS} WHERE c.relkind = 'v'"
        ),
        "pg_matviews" => format!(
            "SELECT n.nspname AS schemaname, c.relname AS matviewname, {owner} AS matviewowner, \
             CAST(NULL AS TEXT) AS tablespace, c.relhasindex AS hasindexes, c.relispopulated AS ispopulated, \
             pg_get_viewdef(c.oid) AS definition FROM {RELATIONS} WHERE c.relkind = 'm'"
        ),
        "pg_indexes" => format!(
            "SELECT n.nspname AS schemaname, c.relname AS tablename, i.relname AS indexname, \
             CAST(NULL AS TEXT) AS tablespace, pg_get_indexdef(x.indexrelid) AS indexdef FROM {RELATIONS} \
             JOIN {TABLES}.pg_index x ON x.indrelid = c.oid JOIN {TABLES}.pg_class i ON i.oid = x.indexrelid"
        ),
        "pg_settings" => settings(),
        _ => return None,
    })
}

/// Settings at their defaults; what a session has set is its own.
fn settings() -> String {
    let rows: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("('{name}', '{value}')")).collect();
    let null = |name: &str| format!("CAST(NULL AS TEXT) AS {name}");
    let unknown = ["unit", "short_desc", "extra_desc", "min_val", "max_val", "enumvals", "sourcefile"].map(null);
    format!(
        "SELECT s.name AS name, s.setting AS setting, s.setting AS boot_val, s.setting AS reset_val, \
         'Session' AS category, 'user' AS context, 'string' AS vartype, 'default' AS source, {}, \
         CAST(NULL AS INT) AS sourceline, false AS pending_restart FROM (VALUES {}) AS s (name, setting)",
        unknown.join(", "),
        rows.join(", ")
    )
}

fn information(view: &str) -> Option<String> {
    Some(match view {
        "tables" => format!(
            "SELECT {CATALOG} AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, CASE c.relkind \
             WHEN 'r' THEN 'BASE TABLE' WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END AS table_type, \
             CASE c.relkind WHEN 'r' THEN 'YES' ELSE 'NO' END AS is_insertable_into \
             FROM {RELATIONS} WHERE c.relkind IN ('r', 'v', 'm')"
        ),
        "views" => format!(
            "SELECT {CATALOG} AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, \
             pg_get_viewdef(c.oid) AS view_definition, 'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into \
             FROM {RELATIONS} WHERE c.relkind = 'v'"
        ),
        "columns" => columns(),
        "table_constraints" => format!(
            "SELECT {CATALOG} AS constraint_catalog, n.nspname AS constraint_schema, r.conname AS constraint_name, \
             {CATALOG} AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, \
             'PRIMARY KEY' AS constraint_type, 'NO' AS is_deferrable, 'NO' AS initially_deferred, 'NO' AS enforced \
             FROM {RELATIONS} JOIN {TABLES}.pg_constraint r ON r.conrelid = c.oid WHERE r.contype = 'p'"
        ),
        "key_column_usage" => format!(
            "SELECT {CATALOG} AS constraint_catalog, n.nspname AS constraint_schema, r.conname AS constraint_name, \
             {CATALOG} AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, \
             k.column_name AS column_name, k.ord AS ordinal_position FROM {RELATIONS} \
             JOIN {TABLES}.pg_constraint r ON r.conrelid = c.oid \
             JOIN {TABLES}.{COLUMNS} k ON k.indexrelid = r.conindid WHERE r.contype = 'p'"
        ),
        _ => return None,
    })
}

fn columns() -> String {
    let number = |name: &str| format!("CAST(NULL AS INT) AS {name}");
    let unknown = ["character_maximum_length", "numeric_precision", "numeric_scale", "datetime_precision"].map(number);
    format!(
        "SELECT {CATALOG} AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, \
         a.attname AS column_name, CAST(a.attnum AS INT) AS ordinal_position, CAST(NULL AS TEXT) AS column_default, \
         CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable, \
         CASE WHEN format_type(a.atttypid, -1) LIKE '%[]' THEN 'ARRAY' \
         ELSE format_type(a.atttypid, -1) END AS data_type, {}, \
         {CATALOG} AS udt_catalog, 'pg_catalog' AS udt_schema, t.typname AS udt_name, 'NO' AS is_identity, \
         'NEVER' AS is_generated, CASE c.relkind WHEN 'r' THEN 'YES' ELSE 'NO' END AS is_updatable \
         FROM {RELATIONS} JOIN {TABLES}.pg_attribute a ON a.attrelid = c.oid \
         LEFT JOIN {TABLES}.pg_type t ON t.oid = a.atttypid \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'm')",
        unknown.join(", ")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(from: &str, wanted: Option<&str>) {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT 1 FROM {from}")).unwrap().remove(0);
        let Statement::Query(query) = statement else { return };
        let SetExpr::Select(mut select) = *query.body else { return };
        expand(&mut select.from[0].relation);
        let text = select.from[0].relation.to_string();
        match wanted {
            Some(alias) => assert!(text.starts_with("(SELECT ") && text.ends_with(alias), "{text}"),
            None => assert_eq!(text, from),
        }
    }

    #[test]
    fn views_are_put_where_their_names_stand() {
        check("pg_catalog.pg_matviews", Some(") AS pg_matviews"));
        check("pg_matviews AS m", Some(") AS m"));
        check("information_schema.tables", Some(") AS tables"));
        check("INFORMATION_SCHEMA.KEY_COLUMN_USAGE k", Some(") k"));
        check("pg_catalog.pg_listening_channels() AS channel", Some(") AS channel"));
        check("pg_catalog.pg_class", None);
        check("information_schema.schemata", None);
        check("public.pg_views", None);
        check("pg_partition_tree($1)", Some(" WHERE false AND CAST($1 AS TEXT) IS NULL) AS pg_partition_tree"));
        for (view, _) in EMPTY {
            check(view, Some(&format!(" WHERE false) AS {view}")));
        }
    }
}
