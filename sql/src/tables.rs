//! Tables of our own in the catalog: making, changing and dropping them together with their rows.
//!
//! A table that says of no other system where its rows are is one of our own. Its rows are made before it stands in the
//! catalog, and deleted after it has gone from it: a process that dies in between leaves rows without a table, which
//! whoever brings an engine back deletes.

use std::sync::Arc;

use crate::catalog::{Catalog, CatalogTable};
use crate::error::{Result, SqlError, SqlState};
use crate::relations::Relations;
use crate::session::{Outcome, Session, done};
use crate::statement::{AlterTable, CreateTable, TableName};
use crate::types::ColumnType;

impl Session {
    /// Puts a table into the catalog, with the columns of a query for `AS`. False when it was there before.
    pub(crate) fn add_table(
        &mut self,
        create: &CreateTable,
        columns: &[(String, ColumnType)],
        text: &str,
    ) -> Result<bool> {
        let relations = Arc::clone(self.engine.relations());
        self.change(|catalog| {
            let name = create.name.table();
            let created = catalog.create_table(create, columns)?;
            if created {
                declare(&relations, catalog, name)?;
            }
            // What a query or another table has lent to it, it has for good.
            let lent = create.like.is_some() || create.query.is_some();
            Ok((created, if lent { catalog.definition(name, text) } else { text.to_string() }))
        })
    }

    /// Changes a table. One of our own only while it is empty and nobody reads it.
    pub(crate) fn alter_table(&mut self, alter: &AlterTable, text: &str) -> Result<Outcome> {
        let name = alter.name.table();
        let relations = Arc::clone(self.engine.relations());
        if self.catalog().own_table(name).is_some() {
            self.refuse_change(&alter.name)?;
        }
        self.change(|catalog| {
            let before = catalog.own_tables().len();
            let was_own = catalog.own_table(name).is_some();
            let altered = catalog.alter_table(alter)?;
            if altered && (was_own || catalog.own_tables().len() > before) {
                if !relations.remove_empty(name)? {
                    return Err(has_rows(&alter.name));
                }
                for own in catalog.own_tables().into_iter().filter(|own| relations.table(own).is_none()) {
                    declare(&relations, catalog, own)?;
                }
            }
            Ok(((), text.to_string()))
        })?;
        Ok(done())
    }

    fn refuse_change(&self, name: &TableName) -> Result<()> {
        let refuse = |message: String, hint: &str| {
            Err(SqlError::new(SqlState::NotReady, message).with_hint(hint).at(name.position))
        };
        let catalog = self.catalog();
        if let Some((_, reader)) = catalog.dependents(name.table()).first() {
            return refuse(format!("table '{name}' cannot be changed: '{reader}' reads it"), "drop the reader first");
        }
        let jobs = self.engine.jobs().list();
        let reads = |reads: &[String]| reads.iter().any(|read| read == name.table());
        match jobs.iter().find(|job| !job.is_ended() && reads(&job.reads)) {
            Some(job) => {
                refuse(format!("table '{name}' cannot be changed: job '{}' reads it", job.name), "stop the job first")
            }
            None => Ok(()),
        }
    }
}

fn has_rows(name: &TableName) -> SqlError {
    SqlError::new(SqlState::NotReady, format!("table '{name}' has rows, and cannot be changed"))
        .with_hint("make another table and fill it with INSERT INTO … SELECT … FROM this one")
        .at(name.position)
}

/// Makes the rows of a table, if it is one of our own.
fn declare(relations: &Relations, catalog: &Catalog, name: &str) -> Result<()> {
    let own: Option<&Arc<CatalogTable>> = catalog.own_table(name);
    own.map_or(Ok(()), |table| relations.declare_table(table))
}
