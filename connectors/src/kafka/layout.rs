//! Which column comes from where: the message's key, its value, or its metadata.

use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use eddyline_engine::connector::{ColumnKind, Options, TableColumn, TableDescription};
use eddyline_engine::error::{Error, Result};

use super::metadata::Metadata;
use super::options::Formats;
use crate::format::{Decoder, Encoder, type_name};

/// Where one column of a table comes from, or goes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Origin {
    /// Column of the key format.
    Key(usize),
    /// Column of the value format.
    Value(usize),
    /// Part of the message outside of both.
    Metadata(Metadata),
}

/// The columns of a table, sorted by origin.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// All columns, in declared order.
    pub(super) schema: SchemaRef,
    /// One per column of `schema`. A column that is in key and value is read from the value.
    pub(super) origins: Vec<Origin>,
    /// Indices in `schema` of the key format's columns, in its order.
    pub(super) key: Vec<usize>,
    /// Indices in `schema` of the value format's columns, in its order.
    pub(super) value: Vec<usize>,
    /// True for a table of upserts: the key says which row a message is about, and a message without value deletes it.
    pub(super) upsert: bool,
    /// What the key format sees: names without prefix.
    pub(super) key_schema: SchemaRef,
    /// What the value format sees: its columns, then its metadata.
    pub(super) value_schema: SchemaRef,
    /// Which metadata of the value format that is.
    value_metadata: Vec<String>,
}

impl Layout {
    /// The layout of what a source produces.
    pub(super) fn of_source(table: &TableDescription, options: &Options, formats: &Formats) -> Result<Layout> {
        Layout::new(table.source_schema(), table.columns.iter(), options, formats)
    }

    /// The layout of what a sink is given.
    pub(super) fn of_sink(table: &TableDescription, options: &Options, formats: &Formats) -> Result<Layout> {
        let written = |c: &&TableColumn| !matches!(c.kind, ColumnKind::Metadata { is_virtual: true, .. });
        for column in table.columns.iter().filter(written) {
            if let ColumnKind::Metadata { key, .. } = &column.kind
                && !is_writable(key, formats)?
            {
                return Err(Error::option(
                    format!("metadata column '{}' cannot be written", column.field.name()),
                    "declare it as VIRTUAL, so that it is only read".to_string(),
                ));
            }
        }
        Layout::new(table.sink_schema(), table.columns.iter().filter(written), options, formats)
    }

    fn new<'a>(
        schema: SchemaRef,
        columns: impl Iterator<Item = &'a TableColumn>,
        options: &Options,
        formats: &Formats,
    ) -> Result<Layout> {
        let columns: Vec<&TableColumn> = columns.collect();
        let prefix = options.text("key.fields-prefix").unwrap_or_default();
        let keep_key = !options.text("value.fields-include").is_some_and(|v| v.eq_ignore_ascii_case("EXCEPT_KEY"));
        let key = key_columns(&columns, options, prefix, keep_key)?;
        let is_physical = |index: &usize| columns[*index].kind == ColumnKind::Physical;
        let in_value = |index: &usize| is_physical(index) && (keep_key || !key.contains(index));
        let value: Vec<usize> = (0..columns.len()).filter(in_value).collect();
        let (mut origins, mut value_metadata) = (Vec::with_capacity(columns.len()), Vec::new());
        let mut value_fields: Vec<FieldRef> = value.iter().map(|index| columns[*index].field.clone()).collect();
        for (index, column) in columns.iter().enumerate() {
            match &column.kind {
                ColumnKind::Physical => origins.push(physical_origin(index, &key, &value)?),
                ColumnKind::Metadata { key: name, .. } if is_of_format(name, &column.field, formats)? => {
                    origins.push(Origin::Value(value_fields.len()));
                    value_metadata.push(name.clone());
                    value_fields.push(column.field.clone());
                }
                ColumnKind::Metadata { key: name, .. } => {
                    origins.push(Origin::Metadata(message_metadata(name, &column.field, formats)?));
                }
            }
        }
        let key_field = |index: &usize| -> FieldRef {
            let field = &columns[*index].field;
            let name = field.name().strip_prefix(prefix).unwrap_or(field.name());
            Arc::new(field.as_ref().clone().with_name(name))
        };
        let key_schema = Arc::new(Schema::new(key.iter().map(key_field).collect::<Vec<_>>()));
        let value_schema = Arc::new(Schema::new(value_fields));
        Ok(Layout { schema, origins, key, value, upsert: false, key_schema, value_schema, value_metadata })
    }

    /// The same for reading `table` as upserts: the message key is the primary key, and the value need not repeat it.
    pub(super) fn upserts(mut self, table: &TableDescription) -> Layout {
        self.upsert = true;
        self.schema = table.upsert_schema();
        for (column, index) in self.key.iter().enumerate() {
            self.origins[*index] = Origin::Key(column);
        }
        let fields = self.value_schema.fields().iter().enumerate();
        let relaxed = fields.map(|(column, field)| match self.value.get(column) {
            Some(index) if self.key.contains(index) => Arc::new(field.as_ref().clone().with_nullable(true)),
            _ => field.clone(),
        });
        self.value_schema = Arc::new(Schema::new(relaxed.collect::<Vec<_>>()));
        self
    }

    /// Decoders of key and value; no key decoder when no column is read from the key.
    pub(super) fn decoders(&self, formats: &Formats) -> Result<(Option<Box<dyn Decoder>>, Box<dyn Decoder>)> {
        let reads_key = self.origins.iter().any(|origin| matches!(origin, Origin::Key(_)));
        let key = formats.key.as_ref().filter(|_| reads_key);
        let key = key.map(|format| format.decoder(self.key_schema.clone())).transpose()?;
        Ok((key, formats.value.decoder_with_metadata(self.value_schema.clone(), &self.value_metadata)?))
    }

    /// Encoders of key and value; no key encoder when messages have no key.
    pub(super) fn encoders(&self, formats: &Formats) -> Result<(Option<Box<dyn Encoder>>, Box<dyn Encoder>)> {
        let key = formats.key.as_ref().map(|format| format.encoder(self.key_schema.clone())).transpose()?;
        Ok((key, formats.value.encoder(self.value_schema.clone())?))
    }
}

fn physical_origin(index: usize, key: &[usize], value: &[usize]) -> Result<Origin> {
    let in_value = value.iter().position(|i| *i == index).map(Origin::Value);
    let in_key = key.iter().position(|i| *i == index).map(Origin::Key);
    in_value.or(in_key).ok_or_else(|| Error::internal("a physical column is in neither key nor value"))
}

/// True when the metadata `name`, which the column `field` declares, comes from the value format.
fn is_of_format(name: &str, field: &Field, formats: &Formats) -> Result<bool> {
    match formats.value.metadata().into_iter().find(|offered| offered.key == name) {
        Some(offered) if !can_cast_types(&offered.data_type, field.data_type()) => {
            Err(wrong_type(name, field, format!("declare it as {}", type_name(&offered.field()))))
        }
        offered => Ok(offered.is_some()),
    }
}

fn message_metadata(name: &str, field: &Field, formats: &Formats) -> Result<Metadata> {
    let metadata = Metadata::named(name, &formats.value.metadata())?;
    let fits = match metadata {
        Metadata::Headers => is_header_map(field.data_type()),
        _ => can_cast_types(&metadata.data_type(), field.data_type()),
    };
    if fits { Ok(metadata) } else { Err(wrong_type(name, field, format!("declare it as {}", metadata.sql_type()))) }
}

fn is_writable(name: &str, formats: &Formats) -> Result<bool> {
    let of_format = formats.value.metadata();
    Ok(!of_format.iter().any(|offered| offered.key == name) && Metadata::named(name, &of_format)?.writable())
}

fn wrong_type(name: &str, field: &Field, hint: String) -> Error {
    let (column, declared) = (field.name(), type_name(field));
    Error::option(
        format!("Invalid data type for metadata column '{column}': '{name}' cannot be read as {declared}"),
        hint,
    )
}

fn is_header_map(declared: &DataType) -> bool {
    let DataType::Map(entries, _) = declared else { return false };
    let DataType::Struct(fields) = entries.data_type() else { return false };
    matches!(fields.as_ref(), [key, value] if *key.data_type() == DataType::Utf8 && *value.data_type() == DataType::Binary)
}

/// The columns that `key.fields` names, after Flink's checks and in Flink's words.
fn key_columns(columns: &[&TableColumn], options: &Options, prefix: &str, keep_key: bool) -> Result<Vec<usize>> {
    let has_format = options.given("key.format");
    let names: Vec<&str> =
        options.text("key.fields").unwrap_or_default().split(';').map(str::trim).filter(|n| !n.is_empty()).collect();
    let refuse = |message: String| Err(Error::option(message, None));
    if !has_format && !names.is_empty() {
        return refuse(
            "The option 'key.fields' can only be declared if a key format is defined using 'key.format'.".to_string(),
        );
    }
    if has_format && names.is_empty() {
        return refuse(
            "A key format 'key.format' requires the declaration of one or more of key fields using 'key.fields'."
                .to_string(),
        );
    }
    if !prefix.is_empty() && keep_key {
        return refuse(
            "A key prefix is not allowed when option 'value.fields-include' is set to 'ALL'. Set it to 'EXCEPT_KEY' \
             instead to avoid field overlaps."
                .to_string(),
        );
    }
    let mut key = Vec::with_capacity(names.len());
    for name in names {
        let is_it = |c: &&TableColumn| c.kind == ColumnKind::Physical && c.field.name() == name;
        let Some(index) = columns.iter().position(is_it) else {
            let physical = columns.iter().filter(|c| c.kind == ColumnKind::Physical);
            let known: Vec<&str> = physical.map(|c| c.field.name().as_str()).collect();
            return refuse(format!(
                "Could not find the field '{name}' in the table schema for usage in the key format. A key field must be \
                 a regular, physical column. The following columns can be selected in the 'key.fields' option: [{}]",
                known.join(", ")
            ));
        };
        if !name.starts_with(prefix) {
            return refuse(format!(
                "All fields in 'key.fields' must be prefixed with '{prefix}' when option 'key.fields-prefix' is set but \
                 field '{name}' is not prefixed."
            ));
        }
        key.push(index);
    }
    Ok(key)
}
