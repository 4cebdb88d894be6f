//! A column of a row group -> values, a part at a time.

use ::parquet::basic::Compression;
use ::parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::RowGroupReader;

/// A column of a row group, read in parts.
pub(super) struct Column<T: DataType> {
    name: &'static str,
    reader: ColumnReaderImpl<T>,
    is_optional: bool,
    levels: Vec<i16>,
    values: Vec<T::T>,
}

impl<T: DataType> Column<T> {
    /// `None` where the file hasn't got it.
    pub(super) fn find(
        group: &dyn RowGroupReader,
        name: &'static str,
    ) -> Result<Option<Self>, ParquetError> {
        let metadata = group.metadata();
        let columns = metadata.schema_descr().columns();
        let Some(index) = columns.iter().position(|column| column.name() == name) else {
            return Ok(None);
        };
        let column = &columns[index];
        if column.physical_type() != T::get_physical_type() || column.max_rep_level() > 0 {
            return Err(ParquetError::General(format!("the column {name} has another type")));
        }
        // Only these are written, and both stay within what a page claims.
        let compression = metadata.column(index).compression();
        if !matches!(compression, Compression::SNAPPY | Compression::UNCOMPRESSED) {
            let what = format!("the column {name} is compressed with {compression}");
            return Err(ParquetError::General(what));
        }
        let reader = parquet_check::decode(|| group.get_column_reader(index))?;
        Ok(Some(Self {
            name,
            reader: get_typed_column_reader::<T>(reader),
            is_optional: column.max_def_level() > 0,
            levels: Vec::new(),
            values: Vec::new(),
        }))
    }

    pub(super) fn required(
        group: &dyn RowGroupReader,
        name: &'static str,
    ) -> Result<Self, ParquetError> {
        Self::find(group, name)?
            .ok_or_else(|| ParquetError::General(format!("the column {name} is missing")))
    }

    /// The next rows, with nulls. A column that has fewer is an error.
    pub(super) fn next(&mut self, rows: usize) -> Result<Vec<Option<T::T>>, ParquetError> {
        self.levels.clear();
        self.values.clear();
        let levels = self.is_optional.then_some(&mut self.levels);
        let (reader, values) = (&mut self.reader, &mut self.values);
        let (found, ..) =
            parquet_check::decode(|| reader.read_records(rows, levels, None, values))?;
        if found != rows {
            return Err(ParquetError::General(format!("the column {} ends early", self.name)));
        }
        let mut values = self.values.drain(..);
        if !self.is_optional {
            return Ok(values.map(Some).collect());
        }
        Ok(self.levels.iter().map(|level| if *level > 0 { values.next() } else { None }).collect())
    }

    /// The next rows of a column without nulls.
    pub(super) fn values(&mut self, rows: usize) -> Result<Vec<T::T>, ParquetError> {
        let values: Option<Vec<T::T>> = self.next(rows)?.into_iter().collect();
        values.ok_or_else(|| ParquetError::General(format!("the column {} holds nulls", self.name)))
    }
}

/// The next rows of a column, all null where the file hasn't got it.
pub(super) fn next<T: DataType>(
    column: &mut Option<Column<T>>,
    rows: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    match column {
        Some(column) => column.next(rows),
        None => Ok(vec![None; rows]),
    }
}
