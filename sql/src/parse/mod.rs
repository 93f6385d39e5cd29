//! SQL text to statements: the whole of the dialect's grammar.
//!
//! sqlparser's tokenizer and its parser for queries and expressions do most of the work; `dialect` bends them to
//! Flink SQL, and the DDL is parsed here on its tokens. Life of a script: `source` makes tokens, takes the hints out
//! of the comments and cuts the script at its semicolons; `statement` parses each piece; `shapes` brings queries into
//! the forms below; `failure` turns what sqlparser says into Flink's phrases. A script is parsed as a whole before
//! anything of it runs. All positions are those of the whole script.
//!
//! **Names.** Letter case is kept. Back-ticks quote names; double quotes are refused.
//!
//! **Shapes.** Where sqlparser's AST has no place for something, it is an ordinary function call:
//!
//! | SQL | AST |
//! |---|---|
//! | `TABLE t` as an argument | `TABLE(t)` |
//! | `TABLE t PARTITION BY a, b ORDER BY c` | `TABLE(t, PARTITION_BY(a, b), ORDER_BY(c))` |
//! | `FROM TABLE(TUMBLE(…))`, `FROM TUMBLE(…)` | `TableFactor::Table` with `args` |
//! | `LATERAL TABLE(f(x)) AS t(a)` | `TableFactor::Function { lateral: true, name: f, … }` |
//! | `FROM UNNEST(x) [WITH ORDINALITY] AS t(a)` | `TableFactor::UNNEST` |
//! | `CAST(x AS type)`, `TRY_CAST(x AS type)` | `Expr::Cast` whose type is read with [`crate::types::ColumnType::from_ast`] |
//! | `MAP['a', 1]` | `MAP('a', 1)` |
//! | `ROW(1, 2)`, `DESCRIPTOR(ts)` | the call itself |
//! | `CEIL(ts TO DAY)`, `FLOOR(x)` | `CEIL(ts, 'DAY')`, `FLOOR(x)` |
//! | `TIMESTAMPADD(MINUTE, 1, ts)`, `TIMESTAMPDIFF(…)` | `TIMESTAMPADD('MINUTE', 1, ts)` |
//! | `x BETWEEN SYMMETRIC a AND b` | `(x BETWEEN a AND b OR x BETWEEN b AND a)` |
//! | `x IS [NOT] JSON [VALUE\|SCALAR\|ARRAY\|OBJECT]` | `[NOT] IS_JSON(x, 'VALUE')` |
//! | `JSON_EXISTS(x, p [TRUE ON ERROR])` | `JSON_EXISTS(x, p [, 'TRUE'])` |
//! | `JSON_VALUE(x, p)` | itself |
//! | `JSON_VALUE(x, p RETURNING INT DEFAULT 0 ON EMPTY …)` | `JSON_VALUE(x, p, 'INT', 'DEFAULT', 0, 'NULL', NULL)`: type, mode and default on empty, mode and default on error |
//! | `JSON_QUERY(x, p)` | itself |
//! | `JSON_QUERY(x, p WITH WRAPPER EMPTY ARRAY ON EMPTY …)` | `JSON_QUERY(x, p, 'STRING', 'UNCONDITIONAL', 'EMPTY ARRAY', 'NULL')`: type, wrapper, on empty, on error |
//! | `JSON_OBJECT(KEY a VALUE b, …)`, `JSON_OBJECT('a' VALUE b)` | `JSON_OBJECT(a, b, …)` |
//! | `JSON_OBJECT(… ABSENT ON NULL)` | `JSON_OBJECT_ABSENT_ON_NULL(…)` (NULL ON NULL is the default) |
//! | `JSON_OBJECTAGG(KEY a VALUE b [ABSENT ON NULL])` | `JSON_OBJECTAGG(a, b)`, `JSON_OBJECTAGG_ABSENT_ON_NULL(a, b)` |
//! | `JSON_ARRAY(… NULL ON NULL)`, `JSON_ARRAYAGG(x NULL ON NULL)` | `JSON_ARRAY_NULL_ON_NULL(…)`, `JSON_ARRAYAGG_NULL_ON_NULL(x)` (ABSENT ON NULL is the default) |
//! | `E'\n'`, `U&'\263A'` | single-quoted strings |
//! | `t /*+ OPTIONS('k' = 'v') */` | `with_hints` of `TableFactor::Table`, see [`table_options`] |
//! | `SELECT /*+ STATE_TTL('t' = '1d') */` | `Select.optimizer_hints`, see [`query_hints`] |

mod alter;
mod command;
mod create;
mod cursor;
mod data_type;
mod dialect;
mod expression;
mod failure;
mod hints;
mod json;
mod mutation;
mod script;
mod shapes;
mod source;
mod statement;
#[cfg(test)]
mod tests;

pub use data_type::parse_type;
pub use dialect::FlinkDialect;
pub use hints::{Hint, query_hints, table_options};
pub use script::{parse_expression, parse_query, parse_script};
pub use source::SetTracker;
