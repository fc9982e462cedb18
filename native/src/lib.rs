//! The native codec of tailrace: lines of JSON to BSON documents in one pass, the GIL released.
//!
//!     scan     a reader of JSON text that gives up early    values    numbers, decimals and times in it
//!     schema   what an entry is, from the reference's       bson      the bytes of elements
//!     entry    one entry -> elements, by its schema         anything  what no schema knows
//!     names    doubled names are noticed                    wrapper   what the entries of a line share
//!     lines    lines -> documents, end to end
//!
//! The reference is `tailrace.ingest.codec.codec`, whose docstring is the specification. What this crate makes is what
//! the reference makes, byte for byte; what it is not sure of it leaves to the reference, whatever the reason is.

#![forbid(unsafe_code)]

mod anything;
mod bson;
mod entry;
mod lines;
mod names;
mod scan;
mod schema;
mod values;
mod wrapper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use lines::{Left, Made, Stretch};
use schema::{Given, Numbers, Schema, Step};

/// Raised whenever what Python and this crate say to each other changes.
const INTERFACE: u32 = 3;

/// Bytes of buffers that are kept for the next call.
const KEPT: usize = 8 * 1024 * 1024;

#[derive(FromPyObject)]
enum PathStep {
    Index(usize),
    Name(String),
}

/// (name, kind, required, fields)
#[derive(FromPyObject)]
struct FieldTuple(String, String, bool, Vec<FieldTuple>);

impl From<FieldTuple> for Given {
    fn from(FieldTuple(name, kind, required, fields): FieldTuple) -> Given {
        Given { name, kind, required, fields: fields.into_iter().map(Given::from).collect() }
    }
}

type Answer<'py> =
    (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Option<Vec<(u64, usize)>>, Vec<Left>, usize, Option<u64>, Vec<Stretch>);

/// Encodes the lines of one source. Any number of threads may use it at the same time.
#[pyclass(frozen)]
struct Encoder {
    schema: Schema,
    spare: Mutex<Vec<Made>>,
    panics: AtomicU64,
}

#[pymethods]
impl Encoder {
    /// `fields`: (name, kind, required, fields) each. `key`: paths of names and indices, with content identity, else
    /// None. `panic_on`: for tests alone, a line that begins with these bytes makes the encoder panic.
    #[new]
    #[pyo3(signature = (fields, *, fill, wrapped, numbers, event_time, key, depth_limit, size_limit, panic_on=None))]
    #[allow(clippy::too_many_arguments)] // the reference's schema and options, by keyword
    fn new(
        fields: Vec<FieldTuple>,
        fill: bool,
        wrapped: bool,
        numbers: &str,
        event_time: Option<String>,
        key: Option<Vec<Vec<PathStep>>>,
        depth_limit: usize,
        size_limit: usize,
        panic_on: Option<Vec<u8>>,
    ) -> PyResult<Self> {
        let numbers = match numbers {
            "decimal" => Numbers::Decimal,
            "double" => Numbers::Double,
            "string" => Numbers::Text,
            _ => return Err(PyValueError::new_err(format!("no such numbers: {numbers}"))),
        };
        let given = fields.into_iter().map(Given::from).collect();
        let mut schema = Schema {
            entry: schema::object(given, numbers).map_err(PyValueError::new_err)?,
            fill,
            wrapped,
            numbers,
            content: None,
            user_slot: None,
            user: schema::user_field(),
            block: schema::block_fields(),
            depth_limit,
            size_limit,
            panic_on,
        };
        if let Some(key) = key {
            let key: Vec<Vec<Step>> = key.into_iter().map(|path| path.into_iter().map(Step::from).collect()).collect();
            schema.place_key(&event_time.unwrap_or_default(), &key).map_err(PyValueError::new_err)?;
        }
        Ok(Encoder { schema, spare: Mutex::default(), panics: AtomicU64::new(0) })
    }

    /// Documents end to end; the offset after each (32 bits, native order); with content identity the (line, index) of
    /// each; lines left to the reference as (documents before, start, end in `data`); how many lines there are in all;
    /// with position identity the checksum of the documents; the block numbers of the lines between those that are left,
    /// as (ranges left before, first, highest, missing ranges).
    fn encode<'py>(&self, py: Python<'py>, data: &[u8], prefix: &[u8], base: u64) -> PyResult<Answer<'py>> {
        let mut made = py.detach(|| self.made(data, prefix, base));
        let documents = PyBytes::new(py, &made.sink.out);
        let ends = PyBytes::new_with(py, made.ends.len() * 4, |bytes| {
            for (four, end) in bytes.chunks_exact_mut(4).zip(&made.ends) {
                four.copy_from_slice(&end.to_ne_bytes());
            }
            Ok(())
        })?;
        let by_content = self.schema.content.is_some();
        let places = by_content.then(|| std::mem::take(&mut made.places));
        let checksum = (!by_content).then_some(made.checksum);
        let (unsure, stretches) = (std::mem::take(&mut made.unsure), std::mem::take(&mut made.stretches));
        let answer = (documents, ends, places, unsure, made.lines, checksum, stretches);
        if made.held() <= KEPT {
            if let Ok(mut spare) = self.spare.lock() {
                spare.push(made);
            }
        }
        Ok(answer)
    }

    /// How many calls panicked: each of them left all its lines to the reference.
    #[getter]
    fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl Encoder {
    fn made(&self, data: &[u8], prefix: &[u8], base: u64) -> Made {
        let work = || {
            let mut made = self.spare.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
            lines::encode(&self.schema, &mut made, data, prefix, base);
            made
        };
        // A panic is a defect of ours. It must not cross into Python, and no half-made document may.
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            self.panics.fetch_add(1, Ordering::Relaxed);
            let mut made = Made::default();
            made.leave_all(data);
            made
        })
    }
}

impl From<PathStep> for Step {
    fn from(step: PathStep) -> Step {
        match step {
            PathStep::Index(index) => Step::Index(index),
            PathStep::Name(name) => Step::Name(name),
        }
    }
}

/// How many newlines there are. For an account of lines that does not rest on what the encoder says of itself.
#[pyfunction]
fn count_newlines(py: Python<'_>, data: &[u8]) -> usize {
    py.detach(|| memchr::memchr_iter(b'\n', data).count())
}

#[pymodule(gil_used = false)]
mod tailrace_native {
    #[pymodule_export]
    use super::Encoder;
    #[pymodule_export]
    use super::count_newlines;
    #[pymodule_export]
    const INTERFACE: u32 = super::INTERFACE;
}
