//! Materialized views in the catalog: the query with what planning has found out about its result.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_engine::connector::{ColumnKind, TableColumn, TableDescription};
use sqlparser::ast::{Query, visit_relations};

use super::show::{literal, quoted, quoted_list};
use super::{Catalog, CatalogObject, DescribedColumn};
use crate::error::{Result, SqlError, SqlState};
use crate::statement::{CreateMaterializedView, Drop, ObjectKind};
use crate::types::ColumnType;

/// A named query whose result is kept current.
#[derive(Debug, Clone, PartialEq)]
pub struct MaterializedView {
    /// The statement that made it.
    pub create: CreateMaterializedView,
    /// Columns of the result.
    pub schema: SchemaRef,
    /// The columns by which rows are unique; None when equal rows are counted, none at all for one row at most.
    pub key: Option<Vec<usize>>,
}

impl MaterializedView {
    /// Its name.
    pub fn name(&self) -> &str {
        self.create.name.table()
    }

    /// Names of the columns of the key; empty without one.
    pub fn key_names(&self) -> Vec<String> {
        let name = |column: &usize| self.schema.field(*column).name().clone();
        self.key.iter().flatten().map(name).collect()
    }

    /// The view as a table that a query reads.
    pub fn description(&self) -> TableDescription {
        let column =
            |field: &arrow::datatypes::FieldRef| TableColumn { field: field.clone(), kind: ColumnKind::Physical };
        TableDescription {
            name: self.name().to_string(),
            columns: self.schema.fields().iter().map(column).collect(),
            primary_key: self.key_names(),
            options: BTreeMap::new(),
        }
    }

    /// The rows of `DESCRIBE`.
    pub fn describe(&self) -> Vec<DescribedColumn> {
        let key = self.key_names();
        let column = |field: &arrow::datatypes::FieldRef| {
            let column_type = ColumnType::from_arrow(field);
            DescribedColumn {
                name: field.name().clone(),
                data_type: column_type.data_type.to_string(),
                nullable: column_type.nullable,
                key: key.contains(field.name()).then(|| format!("PRI({})", key.join(", "))),
                extras: None,
                watermark: None,
            }
        };
        self.schema.fields().iter().map(column).collect()
    }

    /// The statement that makes this view again.
    pub fn show_create(&self) -> String {
        let create = &self.create;
        let mut text = format!("CREATE MATERIALIZED VIEW {}", quoted(self.name()));
        let mut elements: Vec<String> = create.columns.iter().map(|column| quoted(column)).collect();
        let key = create.primary_key.as_ref().map(|key| quoted_list(&key.columns));
        elements.extend(key.map(|columns| format!("PRIMARY KEY ({columns}) NOT ENFORCED")));
        if !elements.is_empty() {
            let _ = write!(text, " ({})", elements.join(", "));
        }
        if let Some(comment) = &create.comment {
            let _ = write!(text, "\nCOMMENT {}", literal(comment));
        }
        let _ = write!(text, "\nAS {}", create.query_text);
        text
    }
}

impl Catalog {
    /// Names of all materialized views in order.
    pub fn materialized_views(&self) -> Vec<&str> {
        let fits = |name: &&str| self.materialized_view(name).is_some();
        self.names().into_iter().filter(fits).collect()
    }

    /// The materialized view of this name.
    pub fn materialized_view(&self, name: &str) -> Option<&Arc<MaterializedView>> {
        match self.find(name) {
            Some(CatalogObject::Materialized(view)) => Some(view),
            _ => None,
        }
    }

    /// Adds a materialized view. False when something of that name is there already and the statement says
    /// `IF NOT EXISTS`.
    pub fn create_materialized_view(&mut self, view: MaterializedView) -> Result<bool> {
        let create = &view.create;
        if !self.may_create(&create.name, false, create.if_not_exists)? {
            return Ok(false);
        }
        for name in mentioned(&create.query) {
            let known = self.permanent.contains_key(&name);
            if !known && self.temporary.contains_key(&name) {
                let message = format!("materialized view '{}' cannot stand on the temporary '{name}'", view.name());
                return Err(SqlError::new(SqlState::InvalidTableDefinition, message)
                    .with_hint("create it without TEMPORARY: a materialized view outlives the session")
                    .at(create.name.position));
            }
        }
        let name = view.name().to_string();
        self.permanent.insert(name, CatalogObject::Materialized(Arc::new(view)));
        Ok(true)
    }

    /// The permanent views, materialized or not, whose queries name `name`.
    pub fn dependents(&self, name: &str) -> Vec<(ObjectKind, String)> {
        let names_it = |object: &CatalogObject| match object {
            CatalogObject::Table(_) => false,
            CatalogObject::View(view) => mentioned(&view.query).iter().any(|n| n == name),
            CatalogObject::Materialized(view) => mentioned(&view.create.query).iter().any(|n| n == name),
        };
        let named = self.permanent.iter().filter(|(_, object)| names_it(object));
        named.map(|(own, object)| (object.kind(), own.clone())).collect()
    }

    /// Everything that goes with `drop`, what depends on something before that; an error that names the dependents
    /// unless the statement says `CASCADE`.
    pub(crate) fn drop_order(&self, drop: &Drop) -> Result<Vec<(ObjectKind, String)>> {
        let mut order = vec![(drop.kind, drop.name.table().to_string())];
        let mut next = 0;
        while next < order.len() {
            for dependent in self.dependents(&order[next].1) {
                order.retain(|known| *known != dependent);
                order.push(dependent);
            }
            next += 1;
        }
        if order.len() > 1 && !drop.cascade {
            let list: Vec<String> =
                order[1..].iter().map(|(kind, name)| format!("{} '{name}'", super::word(*kind))).collect();
            return Err(SqlError::new(
                SqlState::DependentObjects,
                format!("cannot drop {} '{}' because other objects depend on it", super::word(drop.kind), drop.name),
            )
            .with_detail(format!("it is read by {}", list.join(", ")))
            .with_hint("write CASCADE to drop them too")
            .at(drop.name.position));
        }
        order.reverse();
        Ok(order)
    }
}

/// The last parts of the names of all relations in a query. (A name of WITH counts as well.)
fn mentioned(query: &Query) -> Vec<String> {
    let mut names = Vec::new();
    let _: ControlFlow<()> = visit_relations(query, |name| {
        let last = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
        names.extend(last);
        ControlFlow::Continue(())
    });
    names
}
