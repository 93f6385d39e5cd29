//! `CREATE TABLE … LIKE source (options)`: what is taken over from the source, and who wins.

use super::table::CatalogTable;
use crate::error::{Result, SqlError, SqlState};
use crate::statement::{ColumnDefinition, ColumnDefinitionKind, LikeFeature, LikeOption, LikeStrategy};

/// The table that `own` becomes on top of `source`: the source's columns first.
pub(super) fn merge(own: CatalogTable, source: &CatalogTable, options: &[LikeOption]) -> Result<CatalogTable> {
    let strategies = Strategies(options);
    let mut table = own;
    table.columns = columns(&table, source, &strategies)?;
    table.options = merged_options(&table, source, &strategies)?;
    table.watermark = one(
        table.watermark.take(),
        source.watermark.clone(),
        strategies.of(LikeFeature::Watermarks),
        "There already exists a watermark spec in the base table",
        "WATERMARKS",
    )?;
    table.primary_key = one(
        table.primary_key.take(),
        source.primary_key.clone(),
        strategies.of(LikeFeature::Constraints),
        "The base table already has a primary key",
        "CONSTRAINTS",
    )?;
    table.distribution = one(
        table.distribution.take(),
        source.distribution.clone(),
        strategies.of(LikeFeature::Distribution),
        "The base table already has a distribution",
        "DISTRIBUTION",
    )?;
    let partitions = |keys: Vec<String>| if keys.is_empty() { None } else { Some(keys) };
    table.partition_keys = one(
        partitions(std::mem::take(&mut table.partition_keys)),
        partitions(source.partition_keys.clone()),
        strategies.of(LikeFeature::Partitions),
        "The base table already has partitions defined",
        "PARTITIONS",
    )?
    .unwrap_or_default();
    Ok(table)
}

/// What the options say, with Flink's default `INCLUDING ALL OVERWRITING OPTIONS`.
struct Strategies<'a>(&'a [LikeOption]);

impl Strategies<'_> {
    fn of(&self, feature: LikeFeature) -> LikeStrategy {
        let said = |feature| self.0.iter().rev().find(|o| o.feature == feature).map(|o| o.strategy);
        said(feature).or_else(|| said(LikeFeature::All)).unwrap_or(match feature {
            LikeFeature::Options => LikeStrategy::Overwriting,
            _ => LikeStrategy::Including,
        })
    }

    fn of_column(&self, kind: &ColumnDefinitionKind) -> LikeStrategy {
        match kind {
            ColumnDefinitionKind::Physical { .. } => LikeStrategy::Including,
            ColumnDefinitionKind::Computed { .. } => self.of(LikeFeature::Generated),
            ColumnDefinitionKind::Metadata { .. } => self.of(LikeFeature::Metadata),
        }
    }
}

fn columns(own: &CatalogTable, source: &CatalogTable, strategies: &Strategies<'_>) -> Result<Vec<ColumnDefinition>> {
    let kept = |c: &&ColumnDefinition| strategies.of_column(&c.kind) != LikeStrategy::Excluding;
    let mut columns: Vec<ColumnDefinition> = source.columns.iter().filter(kept).cloned().collect();
    for column in &own.columns {
        let Some(existing) = columns.iter_mut().find(|c| c.name == column.name) else {
            columns.push(column.clone());
            continue;
        };
        let same_kind = std::mem::discriminant(&existing.kind) == std::mem::discriminant(&column.kind);
        if !same_kind || strategies.of_column(&column.kind) != LikeStrategy::Overwriting {
            let message = format!("A column named '{}' already exists in the base table", column.name);
            return Err(SqlError::new(SqlState::DuplicateColumn, message)
                .with_hint("physical columns are always taken over from the base table")
                .at(column.position));
        }
        *existing = column.clone();
    }
    Ok(columns)
}

fn merged_options(
    own: &CatalogTable,
    source: &CatalogTable,
    strategies: &Strategies<'_>,
) -> Result<std::collections::BTreeMap<String, String>> {
    let strategy = strategies.of(LikeFeature::Options);
    if strategy == LikeStrategy::Excluding {
        return Ok(own.options.clone());
    }
    let twice = own.options.keys().find(|key| source.options.contains_key(*key));
    if let (Some(key), LikeStrategy::Including) = (twice, strategy) {
        let message = format!("There already exists an option '{key}' in the base table");
        return Err(SqlError::new(SqlState::InvalidTableDefinition, message)
            .with_hint("write EXCLUDING OPTIONS or OVERWRITING OPTIONS"));
    }
    let mut options = source.options.clone();
    options.extend(own.options.clone());
    Ok(options)
}

/// Of two definitions of a thing that a table has only once, the one that counts.
fn one<T>(own: Option<T>, source: Option<T>, strategy: LikeStrategy, clash: &str, word: &str) -> Result<Option<T>> {
    match (own, source, strategy) {
        (own, _, LikeStrategy::Excluding) => Ok(own),
        (Some(_), Some(_), LikeStrategy::Including) => {
            Err(SqlError::new(SqlState::InvalidTableDefinition, clash).with_hint(format!("write EXCLUDING {word}")))
        }
        (own, source, _) => Ok(own.or(source)),
    }
}
