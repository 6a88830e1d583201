//! How the program's types stand in columns, and what can go wrong on the way.

use std::error::Error;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::invitations::CertificateState;
use crate::api::common::{EnrollmentMode, Platform, Verdict};
use crate::ids::{CommandUuid, Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::mdm::command::{FinalState, PendingState, Priority};
use crate::mdm::commands::Class;
use crate::pki::SealError;
use crate::store::{EnrollmentState, Escrow, PushRefusal, StoreError};

/// What stopped an operation; [`Fault::during`] makes it the port's error.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite failed, or a column does not hold what it should.
    Sqlite(rusqlite::Error),
    /// A stored document or sealed value cannot be read.
    Damaged(&'static str, Box<dyn Error + Send + Sync>),
    /// The operation must not be done.
    Refused(StoreError),
}

impl Fault {
    /// The port's error for a fault that came up while trying `action`.
    pub(super) fn during(self, action: &'static str) -> StoreError {
        match self {
            Self::Sqlite(
                source @ (rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)),
            ) => StoreError::Damaged {
                what: "row",
                source: Box::new(source),
            },
            Self::Sqlite(source) => StoreError::Database {
                action,
                source: Box::new(source),
            },
            Self::Damaged(what, source) => StoreError::Damaged { what, source },
            Self::Refused(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<SealError> for Fault {
    fn from(error: SealError) -> Self {
        Self::Damaged("sealed value", Box::new(error))
    }
}

macro_rules! identifiers {
    ($($name:ident),+) => { $(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::parse(value.as_str()?).map_err(FromSqlError::other)
            }
        }
    )+ };
}
identifiers!(CommandUuid, Namespace, PushTopic, SerialNumber);

impl ToSql for EnrollmentId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for EnrollmentId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse_with_user(value.as_str()?).map_err(FromSqlError::other)
    }
}

macro_rules! names {
    ($($name:ident),+) => { $(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(<&'static str>::from(self).into())
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|error: strum::ParseError| FromSqlError::other(error))
            }
        }
    )+ };
}
names!(
    CertificateState,
    Class,
    EnrollmentMode,
    EnrollmentState,
    Escrow,
    FinalState,
    PendingState,
    Platform,
    Priority,
    PushRefusal,
    Verdict
);

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        Self::from_slice(bytes).ok_or(FromSqlError::InvalidBlobSize {
            expected_size: 32,
            blob_size: bytes.len(),
        })
    }
}

/// A time as microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micros(pub(super) Timestamp);

impl ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_microsecond().into())
    }
}

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_microsecond(value.as_i64()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A small value as JSON text.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A document as JSON bytes.
pub(super) fn encode<T: Serialize>(what: &'static str, document: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(document).map_err(|error| Fault::Damaged(what, Box::new(error)))
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::Damaged(what, Box::new(error)))
}
