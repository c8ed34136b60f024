//! Parents and children: what a parent knows of its children, and taking them from each other.

use std::collections::BTreeMap;

use super::Queue;
use crate::address::{JobId, JobKey};
use crate::children::{ignored_failures, only_counts, values};
use crate::error::Result;
use crate::json::JsonText;
use crate::store::{ChildCounts, ChildrenPage, ChildrenRequest, DetachRequest, RemoveAnswer, RemoveScope};

impl Queue {
    /// A page of a job's children, as the job knows them. Those that have ended are there when they are gone themselves.
    ///
    /// # Errors
    /// Those of the store; so for all of these.
    pub async fn children(&self, request: ChildrenRequest) -> Result<ChildrenPage> {
        self.inner.store.children(&self.inner.address, request).await
    }

    /// How many children a job has of each kind; none if there is no such job.
    pub async fn child_counts(&self, id: impl Into<JobId>) -> Result<ChildCounts> {
        self.children(only_counts(id.into())).await.map(|page| page.counts)
    }

    /// What the children of a job returned that have completed.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused): there are more than [`CHILDREN_GATHERED_MAX`](crate::CHILDREN_GATHERED_MAX).
    pub async fn children_values(&self, id: impl Into<JobId>) -> Result<BTreeMap<JobKey, JsonText>> {
        values(&id.into(), |request| self.children(request)).await
    }

    /// Why those children of a job failed whose failure it does without.
    ///
    /// # Errors
    /// As [`children_values`](Self::children_values).
    pub async fn ignored_failures(&self, id: impl Into<JobId>) -> Result<BTreeMap<JobKey, String>> {
        ignored_failures(&id.into(), |request| self.children(request)).await
    }

    /// Removes a job and all that belongs to it, but leaves its children: they run, and nobody waits for them. One that somebody
    /// works on stays.
    pub async fn remove_alone(&self, id: impl Into<JobId>) -> Result<RemoveAnswer> {
        self.remove_scope(id.into(), RemoveScope::JobOnly).await
    }

    /// Removes the children that a job waits for, with those that they wait for, and not the job, which can run then. Those
    /// stay that somebody works on, or that have failed.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused): there are too many of them.
    pub async fn remove_pending_children(&self, id: impl Into<JobId>) -> Result<RemoveAnswer> {
        self.remove_scope(id.into(), RemoveScope::PendingChildren).await
    }

    /// Takes a child from its parent, which does not wait for it any more: the child runs all the same. Returns
    /// whether the parent waited for it; if not, nothing changes.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound): the child, or its parent.
    pub async fn detach(&self, child: impl Into<JobId>) -> Result<bool> {
        let request = DetachRequest { child: child.into(), now: self.inner.clock.now() };
        self.inner.store.detach(&self.inner.address, request).await
    }
}
