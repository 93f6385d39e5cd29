//! `ALTER TABLE`: one change of a table at a time.

use super::table::{CatalogTable, mentioned};
use crate::error::{Result, SqlError, SqlState};
use crate::statement::{AlterAction, ColumnDefinition, ColumnDefinitionKind, ColumnPosition};

impl CatalogTable {
    /// Makes one change. The caller validates the table when all are made.
    pub(super) fn alter(&mut self, action: &AlterAction) -> Result<()> {
        match action {
            AlterAction::AddColumn(column, place) => self.add_column(column, place.as_ref()),
            AlterAction::ModifyColumn(column, place) => self.modify_column(column, place.as_ref()),
            AlterAction::DropColumn(name) => self.drop_column(name),
            AlterAction::RenameColumn { from, to } => self.rename_column(from, to),
            AlterAction::AddWatermark(watermark) => match self.watermark {
                Some(_) => Err(refused("The base table has already defined the watermark strategy")
                    .with_hint("write ALTER TABLE … MODIFY WATERMARK")),
                None => {
                    self.watermark = Some(watermark.clone());
                    Ok(())
                }
            },
            AlterAction::ModifyWatermark(watermark) => {
                present(&self.watermark, "The base table does not define any watermark strategy")?;
                self.watermark = Some(watermark.clone());
                Ok(())
            }
            AlterAction::DropWatermark => {
                present(&self.watermark, "The base table does not define any watermark strategy")?;
                self.watermark = None;
                Ok(())
            }
            AlterAction::AddPrimaryKey(_) | AlterAction::ModifyPrimaryKey(_) | AlterAction::DropPrimaryKey => {
                self.alter_key(action)
            }
            AlterAction::RenameTable(name) => {
                self.name = name.table().to_string();
                Ok(())
            }
            AlterAction::SetOptions(options) => {
                self.options.extend(options.clone());
                Ok(())
            }
            AlterAction::ResetOptions(keys) => self.reset_options(keys),
        }
    }

    fn alter_key(&mut self, action: &AlterAction) -> Result<()> {
        match action {
            AlterAction::AddPrimaryKey(_) if self.primary_key.is_some() => {
                return Err(refused("The base table has already defined the primary key constraint")
                    .with_hint("drop it first, or write ALTER TABLE … MODIFY"));
            }
            AlterAction::AddPrimaryKey(key) => self.primary_key = Some(key.clone()),
            AlterAction::ModifyPrimaryKey(key) => {
                present(&self.primary_key, "The base table does not define any primary key")?;
                self.primary_key = Some(key.clone());
            }
            _ => {
                present(&self.primary_key, "The base table does not define any primary key")?;
                self.primary_key = None;
            }
        }
        self.close_key();
        Ok(())
    }

    fn add_column(&mut self, column: &ColumnDefinition, place: Option<&ColumnPosition>) -> Result<()> {
        if self.column(&column.name).is_some() {
            let message = format!("Try to add a column '{}' which already exists in the table", column.name);
            return Err(SqlError::new(SqlState::DuplicateColumn, message).at(column.position));
        }
        let at = match place {
            None => self.columns.len(),
            Some(place) => self.place(place)?,
        };
        self.columns.insert(at, column.clone());
        Ok(())
    }

    fn modify_column(&mut self, column: &ColumnDefinition, place: Option<&ColumnPosition>) -> Result<()> {
        let at = self.index(&column.name).map_err(|e| e.at(column.position))?;
        match place {
            None => self.columns[at] = column.clone(),
            Some(place) => {
                self.columns.remove(at);
                let at = self.place(place)?;
                self.columns.insert(at, column.clone());
            }
        }
        self.close_key();
        Ok(())
    }

    fn drop_column(&mut self, name: &str) -> Result<()> {
        let at = self.index(name)?;
        if self.primary_key.as_ref().is_some_and(|k| k.columns.iter().any(|c| c == name)) {
            return Err(refused(format!("The column '{name}' is used as the primary key"))
                .with_hint("write ALTER TABLE … DROP PRIMARY KEY first"));
        }
        if self.partition_keys.iter().any(|key| key == name) {
            return Err(refused(format!("The column '{name}' is used as a partition key")));
        }
        self.not_mentioned(name)?;
        self.columns.remove(at);
        Ok(())
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<()> {
        let at = self.index(from)?;
        if self.column(to).is_some() {
            let message = format!("The column '{to}' already exists in the table");
            return Err(SqlError::new(SqlState::DuplicateColumn, message));
        }
        self.not_mentioned(from)?;
        self.columns[at].name = to.to_string();
        let keys = self.primary_key.iter_mut().flat_map(|k| k.columns.iter_mut());
        keys.chain(self.partition_keys.iter_mut()).filter(|k| *k == from).for_each(|k| *k = to.to_string());
        Ok(())
    }

    fn reset_options(&mut self, keys: &[String]) -> Result<()> {
        for key in keys {
            if key == "connector" {
                return Err(refused("ALTER TABLE RESET does not support changing 'connector'"));
            }
            self.options.remove(key);
        }
        Ok(())
    }

    /// Fails when a computed column or the watermark is made from this column.
    fn not_mentioned(&self, name: &str) -> Result<()> {
        for column in &self.columns {
            if let ColumnDefinitionKind::Computed { expr } = &column.kind
                && mentioned(expr).contains(name)
            {
                return Err(refused(format!("The column '{name}' is referenced by computed column '{}'", column.name)));
            }
        }
        match &self.watermark {
            Some(w) if w.column == name || mentioned(&w.expr).contains(name) => {
                Err(refused(format!("The column '{name}' is referenced by the watermark expression"))
                    .with_hint("write ALTER TABLE … DROP WATERMARK first"))
            }
            _ => Ok(()),
        }
    }

    fn place(&self, place: &ColumnPosition) -> Result<usize> {
        match place {
            ColumnPosition::First => Ok(0),
            ColumnPosition::After(name) => Ok(self.index(name)? + 1),
        }
    }

    fn index(&self, name: &str) -> Result<usize> {
        let known = || self.columns.iter().map(|c| c.name.as_str());
        known().position(|n| n == name).ok_or_else(|| {
            let mut error = SqlError::unknown_column(name, known());
            error.message = format!("The column '{name}' does not exist in the base table");
            error
        })
    }
}

fn present<T>(thing: &Option<T>, otherwise: &str) -> Result<()> {
    if thing.is_some() { Ok(()) } else { Err(refused(otherwise)) }
}

fn refused(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::InvalidTableDefinition, message)
}
