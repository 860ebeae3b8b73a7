//! The table `portfolio`: under `user#{id}`, an item `{shelf}#{piece}` per piece, and an item
//! `count#{shelf}` that bounds how many there are. A piece and the count change in one transaction.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::id::{PieceId, UserId};
use rollcall_domain::limits::PIECES_MAX;
use rollcall_domain::port::PortError;
use rollcall_domain::portfolio::{Content, Piece, Shelf};
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::corrupt;
use crate::item::{key, number, to_item};
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::{Applied, ItemUpdate};

/// Pieces that one list reads: a merge of accounts may put more on a shelf than fit, and then there is
/// no room until enough are taken from it.
const PIECES_READ_MAX: usize = 1_000;

#[derive(Debug, Serialize, Deserialize)]
struct PieceItem {
    pk: String,
    sk: String,
    piece_id: PieceId,
    shelf: Shelf,
    content: Content,
    created_at: Timestamp,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl From<PieceItem> for Piece {
    fn from(item: PieceItem) -> Self {
        let PieceItem { piece_id, shelf, content, created_at, version, .. } = item;
        Self { id: piece_id, shelf, content, created_at, version }
    }
}

fn sort(shelf: Shelf, piece: &PieceId) -> String {
    format!("{shelf}#{piece}")
}

fn item(owner: &UserId, piece: &Piece, now: Timestamp, trace_id: &str) -> PieceItem {
    PieceItem {
        pk: partition(owner),
        sk: sort(piece.shelf, &piece.id),
        piece_id: piece.id.clone(),
        shelf: piece.shelf,
        content: piece.content.clone(),
        created_at: piece.created_at,
        version: piece.version,
        updated_at: now,
        trace_id: trace_id.to_owned(),
    }
}

async fn list(tables: &Tables, owner: &UserId, shelf: Shelf) -> Result<Vec<Piece>, PortError> {
    let (pk, prefix) = (partition(owner), shelf_prefix(shelf));
    let items: Vec<PieceItem> =
        tables.query(Table::Portfolio, &pk, &prefix, PIECES_READ_MAX).await?;
    let mut pieces: Vec<Piece> = items.into_iter().map(Piece::from).collect();
    pieces.sort_by(|one, other| {
        other.created_at.cmp(&one.created_at).then_with(|| one.id.cmp(&other.id))
    });
    Ok(pieces)
}

/// What the sort keys of the pieces on a shelf begin with.
pub(crate) fn shelf_prefix(shelf: Shelf) -> String {
    format!("{shelf}#")
}

/// The part of a transaction that counts pieces which come from another account.
pub(crate) fn moved_part(
    tables: &Tables,
    owner: &UserId,
    shelf: Shelf,
    pieces: usize,
) -> Result<TransactWriteItem, PortError> {
    let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
    let counted = counted(owner, shelf)
        .set_to("count", "if_not_exists(#count, :zero) + :pieces")
        .value("zero", number(0))
        .value("pieces", number(pieces));
    counted.into_part(tables.name(Table::Portfolio))
}

/// What became of a piece that was to be put on a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is there since now.
    New,
    /// It was there already.
    Again,
    /// There is no room.
    Full,
}

capability! {
    /// Reads shelves.
    PortfolioReader, Grant::table(Table::Portfolio, &["dynamodb:Query"])
}

impl PortfolioReader {
    /// Everything on a shelf, the newest first, strongly consistent.
    pub async fn list(&self, owner: &UserId, on: Shelf) -> Result<Vec<Piece>, PortError> {
        list(&self.tables, owner, on).await
    }
}

capability! {
    /// Puts pieces on shelves.
    PieceCreator,
    Grant::table(Table::Portfolio, &["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]),
}

impl PieceCreator {
    /// A piece, strongly consistent.
    pub async fn find(
        &self,
        owner: &UserId,
        on: Shelf,
        piece: &PieceId,
    ) -> Result<Option<Piece>, PortError> {
        let item: Option<PieceItem> =
            self.tables.get(Table::Portfolio, &partition(owner), &sort(on, piece)).await?;
        Ok(item.map(Piece::from))
    }

    /// Puts a new piece on its shelf, if there is room.
    pub async fn create(
        &self,
        owner: &UserId,
        piece: &Piece,
        trace_id: &str,
    ) -> Result<Placed, PortError> {
        let table = self.tables.name(Table::Portfolio);
        let new = to_item(&item(owner, piece, piece.created_at, trace_id))?;
        let put = Put::builder()
            .table_name(&table)
            .set_item(Some(new))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(corrupt("build a transaction"))?;
        let count = counted(owner, piece.shelf)
            .set_to("count", "if_not_exists(#count, :zero) + :one")
            .value("zero", number(0))
            .value("one", number(1))
            .value("max", number(u32::try_from(PIECES_MAX).unwrap_or(u32::MAX)))
            .only_if("attribute_not_exists(#count) OR #count < :max");
        let put = TransactWriteItem::builder().put(put).build();
        let parts = vec![put, count.into_part(table)?];
        Ok(match self.tables.commit("put a piece on a shelf", parts).await? {
            Applied::All => Placed::New,
            Applied::Refused(0) => Placed::Again,
            Applied::Refused(_) => Placed::Full,
        })
    }
}

capability! {
    /// Changes pieces.
    PieceUpdater, Grant::table(Table::Portfolio, &["dynamodb:GetItem", "dynamodb:PutItem"])
}

impl PieceUpdater {
    /// A piece, strongly consistent.
    pub async fn find(
        &self,
        owner: &UserId,
        on: Shelf,
        piece: &PieceId,
    ) -> Result<Option<Piece>, PortError> {
        let item: Option<PieceItem> =
            self.tables.get(Table::Portfolio, &partition(owner), &sort(on, piece)).await?;
        Ok(item.map(Piece::from))
    }

    /// Stores a changed piece; `Conflict` when somebody else changed or removed it in between.
    pub async fn store(
        &self,
        owner: &UserId,
        piece: &Piece,
        now: Timestamp,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let item = item(owner, piece, now, trace_id);
        self.tables.put_version(Table::Portfolio, &item, piece.version).await
    }
}

capability! {
    /// Takes pieces from shelves.
    PieceRemover,
    Grant::table(Table::Portfolio, &["dynamodb:DeleteItem", "dynamodb:UpdateItem"]),
}

impl PieceRemover {
    /// Takes a piece from its shelf. `false`: it is not there.
    pub async fn remove(
        &self,
        owner: &UserId,
        on: Shelf,
        piece: &PieceId,
    ) -> Result<bool, PortError> {
        let table = self.tables.name(Table::Portfolio);
        let delete = Delete::builder()
            .table_name(&table)
            .set_key(Some(key(&partition(owner), &sort(on, piece))))
            .condition_expression("attribute_exists(pk)")
            .build()
            .map_err(corrupt("build a transaction"))?;
        let count = counted(owner, on)
            .set_to("count", "#count - :one")
            .value("one", number(1))
            .only_if("#count >= :one");
        let delete = TransactWriteItem::builder().delete(delete).build();
        let parts = vec![delete, count.into_part(table)?];
        Ok(self.tables.commit("take a piece from a shelf", parts).await? == Applied::All)
    }
}

fn counted(owner: &UserId, shelf: Shelf) -> ItemUpdate {
    ItemUpdate::of(&partition(owner), &format!("count#{shelf}"))
}
