//! Whether both stages have the same of a person, item by item.

use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::search::places;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY};

use super::person::{self, OPEN, Person, Read};
use super::{COPIED, Comparison, Finding, Migration, differs, name, short};
use crate::item::{Attributes, key};
use crate::{catalog, certificates, crm, search};

/// Whether an item of one stage says what that of the other says. A certificate has a place of its own in
/// the status lists of each.
pub(super) fn is_same(table: Table, one: &Attributes, other: &Attributes) -> bool {
    if table != Table::Certificates {
        return one == other;
    }
    let placeless = |item: &Attributes| {
        let mut item = item.clone();
        item.retain(|attribute, _| !certificates::PLACE.contains(&attribute.as_str()));
        item
    };
    placeless(one) == placeless(other)
}

impl Migration {
    /// Compares a person on both sides; `None` when they are not to be copied.
    ///
    /// # Errors
    ///
    /// What a table refuses.
    pub async fn compare(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Option<Comparison>, PortError> {
        let read = person::read(&self.from, user, &self.identities, now).await?;
        let Read::Person(person) = read else { return Ok(None) };
        if self.to.item(Table::Users, &person.last).await?.is_none()
            && self.was_erased(user).await?
        {
            return Ok(None);
        }
        let mut comparison = Comparison::default();
        for table in [Table::Users].into_iter().chain(COPIED) {
            self.compare_partition(table, &person, &mut comparison).await?;
        }
        for claim in &person.claims {
            let there = self.to.item(Table::Users, claim).await?;
            let item = short(Table::Users, name(claim, PARTITION_KEY));
            let finding = match there {
                None => Some(Finding::Missing { table: Table::Users.name(), item }),
                Some(there) if there == *claim => None,
                Some(_) => Some(Finding::Differs { table: Table::Users.name(), item }),
            };
            comparison.findings.extend(finding);
        }
        self.compare_places(&person, &mut comparison).await?;
        self.compare_what_is_named(&person, &mut comparison).await?;
        Ok(Some(comparison))
    }

    async fn compare_partition(
        &self,
        table: Table,
        person: &Person,
        comparison: &mut Comparison,
    ) -> Result<(), PortError> {
        let mut there = self.to.own_items(table, &person.id).await?;
        there.retain(|sort, _| !sort.starts_with(OPEN));
        let last = (Table::Users, person.last.clone());
        let all = person.items.iter().chain([&last]).filter(|(of, _)| *of == table);
        let expected: Vec<&Attributes> = all.map(|(_, item)| item).collect();
        comparison.items.insert(table.name(), (expected.len(), there.len()));
        for item in expected {
            let sort = name(item, SORT_KEY);
            match there.remove(sort) {
                None => {
                    let (table, item) = (table.name(), short(table, sort));
                    comparison.findings.insert(Finding::Missing { table, item });
                }
                Some(other) if is_same(table, item, &other) => {
                    if table == Table::Certificates
                        && !certificates::is_placed(&self.to, &other).await?
                    {
                        let item = "status".to_owned();
                        let table = table.name();
                        comparison.findings.insert(Finding::Missing { table, item });
                    }
                }
                Some(_) => {
                    comparison.findings.insert(differs(table, item));
                }
            }
        }
        for sort in there.keys() {
            let (table, item) = (table.name(), short(table, sort));
            comparison.findings.insert(Finding::Extra { table, item });
        }
        Ok(())
    }

    /// Whether members find the person.
    async fn compare_places(
        &self,
        person: &Person,
        comparison: &mut Comparison,
    ) -> Result<(), PortError> {
        let table = Table::Directory;
        let Some(account) = &person.account else { return Ok(()) };
        for place in places(account) {
            let (pk, sk) = search::place_key(&place);
            let there = self.to.item(table, &key(&pk, &sk)).await?;
            if there.is_none_or(|there| name(&there, "user_id") != person.id.as_str()) {
                let item = pk.split('#').next().unwrap_or_default().to_owned();
                comparison.findings.insert(Finding::Missing { table: table.name(), item });
            }
        }
        Ok(())
    }

    /// Whether what the person's items name is there, and the CRM is closed to whom it must be.
    async fn compare_what_is_named(
        &self,
        person: &Person,
        comparison: &mut Comparison,
    ) -> Result<(), PortError> {
        for version in &person.versions {
            let seal = key(&catalog::partition_named(version), catalog::SEAL);
            let here = self.from.item(Table::Catalog, &seal).await?;
            if here.is_some() && self.to.item(Table::Catalog, &seal).await?.is_none() {
                let (table, item) = (Table::Catalog.name(), version.clone());
                comparison.findings.insert(Finding::Missing { table, item });
            }
        }
        if person.removal.is_some() && crm::removal_of(&self.to, &person.id).await?.is_none() {
            let (table, item) = (Table::Crm.name(), "removal".to_owned());
            comparison.findings.insert(Finding::Missing { table, item });
        }
        Ok(())
    }
}
