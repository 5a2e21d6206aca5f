//! Groups: one message to many connections.
//!
//! A group has a list of members on each core, which only that core touches. A message is encoded once, where it is
//! sent. At the end of its turn each core writes what was said in it to its members, in one system call each, from the
//! same bytes; only what a socket does not take is queued.

mod members;
mod site;

use crate::codec::{Codec, Encoded, Encoder};
use crate::connection::{Conn, ConnectionId, Handle};
use crate::error::{Error, Result};
use crate::runtime::{Core, Remote, oneshot, with_current};
use members::Members;
use site::{Site, Work};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What becomes of a message for a member whose write queue is above its high-water mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowMember {
    /// It does not get the message. The others do not notice.
    #[default]
    Skip,
    /// It is disconnected, with [`CloseReason::TooSlow`](crate::CloseReason::TooSlow).
    Disconnect,
    /// Who awaits [`Group::send`] waits until it has room. Who does not wait ([`Group::try_send`]) skips it.
    Wait,
}

/// Connections that get the same messages: the subscribers of a topic, the guests of a room.
///
/// It is cheap to clone, and each clone is the same group, on any thread. A member that closes leaves by itself.
///
/// Messages are encoded once, by an encoder of the group's own, and once more where a protocol has a shorter form that some
/// members understand: WebSockets that compress. A codec whose encoder remembers something between messages, for one
/// connection, cannot be used so.
///
/// ```
/// use tiderace::{Conn, Group, Handler, Result, Server, codec::Lines};
///
/// /// What one says, all hear.
/// struct Guest(Group<Lines>);
///
/// impl Handler for Guest {
///     type Codec = Lines;
///
///     async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
///         self.0.join(conn);
///         Ok(())
///     }
///
///     async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
///         self.0.try_send(line)
///     }
/// }
///
/// # fn main() -> Result {
/// let room = Group::new(Lines::default());
/// let server = Server::new().listen("tcp://127.0.0.1:0", Lines::default(), move || Guest(room.clone()))?;
/// # Ok(())
/// # }
/// ```
pub struct Group<C: Codec> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    /// Under which each core keeps its members.
    id: u64,
    codec: C,
    slow: SlowMember,
    /// The cores that have members. Locked for writing only when a core gets its first one.
    sites: RwLock<Vec<Arc<Site>>>,
    skipped: Arc<AtomicUsize>,
}

static GROUPS: AtomicU64 = AtomicU64::new(0);

impl<C: Codec> Group<C>
where
    C: Send + Sync + 'static,
{
    /// A group without members, whose messages are encoded by `codec`, and skip members that are slow.
    pub fn new(codec: C) -> Group<C> {
        Group::with_policy(codec, SlowMember::default())
    }

    /// A group with another way to treat members that are slow.
    pub fn with_policy(codec: C, slow: SlowMember) -> Group<C> {
        let id = GROUPS.fetch_add(1, Relaxed);
        let (sites, skipped) = (RwLock::default(), Arc::default());
        Group { shared: Arc::new(Shared { id, codec, slow, sites, skipped }) }
    }

    /// Makes a connection a member, until it leaves or closes. Says whether it has not been one.
    pub fn join(&self, conn: &Conn<C>) -> bool {
        self.members(&conn.link.core).join(&conn.link)
    }

    /// Makes the connection of a handle a member: at once if this is its core, else soon, and before it gets what the same
    /// thread sends to the group afterwards.
    pub fn join_handle(&self, handle: &Handle<C>) {
        let (core, key) = handle.place();
        let site = self.site(core);
        self.submit(&site, Work::Join(key));
        handle.has_sent();
    }

    /// Ends a connection's membership. Says whether it has been a member.
    pub fn leave(&self, conn: &Conn<C>) -> bool {
        self.members(&conn.link.core).leave(&conn.link)
    }

    /// Ends the membership of a handle's connection: at once if this is its core, else soon, and before the next message that
    /// the same thread sends to the group.
    pub fn leave_handle(&self, handle: &Handle<C>) {
        let (core, key) = handle.place();
        let site = self.site(core);
        self.submit(&site, Work::Leave(key));
        handle.has_sent();
    }

    /// How many members there are, on all cores.
    pub fn len(&self) -> usize {
        self.sites().iter().map(|site| site.members.load(Relaxed)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a message was not queued for a member because it was slow.
    pub fn skipped(&self) -> usize {
        self.shared.skipped.load(Relaxed)
    }

    /// Sends a message to every member, without waiting for any. It leaves at the end of the turn of each core, in one write
    /// with what else is said in the group until then, and behind what its members are sent otherwise.
    ///
    /// # Errors
    /// [`Error::Encode`] when the codec cannot send this message. [`Error::Busy`] when 4 MiB of this group are under
    /// way to a core already, which has not come to take them; then no member gets it. Each message counts with 128 bytes more
    /// than it has. [`send`](Group::send) waits instead.
    pub fn try_send<M: ?Sized>(&self, message: &M) -> Result
    where
        C::Encoder: Encoder<M>,
    {
        self.post(message, None)
    }

    /// Like [`try_send`](Group::try_send), to all but one.
    pub fn try_send_except<M: ?Sized>(&self, except: ConnectionId, message: &M) -> Result
    where
        C::Encoder: Encoder<M>,
    {
        self.post(message, Some(except))
    }

    /// Sends a message to every member; resolves when all that get it have it in their write queues, with their number. With
    /// [`SlowMember::Wait`], that is when the slowest one has room.
    ///
    /// Messages of one sender reach a member in their order.
    ///
    /// # Errors
    /// [`Error::Encode`] when the codec cannot send this message.
    ///
    /// # Cancel safety
    /// Members that have room get the message when this is polled first. Those that are waited for miss it if this is dropped
    /// before they have room.
    pub async fn send<M: ?Sized>(&self, message: &M) -> Result<usize>
    where
        C::Encoder: Encoder<M>,
    {
        let encoded = self.encode(message)?;
        let mut answers = Vec::new();
        let mut all_live = true;
        for site in self.sites() {
            let (done, queued) = oneshot();
            all_live &= self.submit(&site, Work::Send(encoded.clone(), done));
            answers.push(queued);
        }
        if !all_live {
            self.forget_ended_cores();
        }
        let mut total = 0;
        for answer in answers {
            total += answer.receive().await.unwrap_or(0);
        }
        Ok(total)
    }

    fn post<M: ?Sized>(&self, message: &M, except: Option<ConnectionId>) -> Result
    where
        C::Encoder: Encoder<M>,
    {
        let encoded = self.encode(message)?;
        let work = || match except {
            Some(except) => Work::Except(encoded.clone(), except),
            None => Work::message(encoded.clone()),
        };
        let sites = self.read_sites();
        if sites.iter().any(|site| site.is_full()) {
            return Err(Error::Busy);
        }
        let here = with_current(Rc::clone);
        let is_here = |site: &Site| here.as_ref().is_some_and(|core| core.is_at(&site.remote));
        let (mut is_member_here, mut all_live) = (false, true);
        for site in sites.iter() {
            if is_here(site) {
                is_member_here = true;
            } else {
                all_live &= self.send_to(site, work());
            }
        }
        // Not under the lock: it may call a user's code, which may join.
        drop(sites);
        if let Some(core) = here.filter(|_| is_member_here) {
            self.work_here(&core, work());
        }
        if !all_live {
            self.forget_ended_cores();
        }
        Ok(())
    }

    /// Has work done on a core: at once if this is that core, else in its next turn. Says whether the core is still there.
    fn submit(&self, site: &Arc<Site>, work: Work) -> bool {
        match with_current(Rc::clone).filter(|core| core.is_at(&site.remote)) {
            Some(core) => {
                self.work_here(&core, work);
                true
            }
            None => self.send_to(site, work),
        }
    }

    fn work_here(&self, core: &Rc<Core>, work: Work) {
        let members = self.members(core);
        match work {
            Work::Message(_) => members.post(core, work),
            Work::Join(key) => members.join_by_key(core, key),
            Work::Leave(key) => members.leave_by_key(core, key),
            work => members.act(core, work),
        }
    }

    fn send_to(&self, site: &Arc<Site>, work: Work) -> bool {
        let group = self.clone();
        site.send(work, move |core| group.members(core).take_in(core))
    }

    /// A group may outlive a server.
    #[cold]
    fn forget_ended_cores(&self) {
        self.write_sites().retain(|site| !site.remote.has_ended());
    }

    fn encode<M: ?Sized>(&self, message: &M) -> Result<Encoded>
    where
        C::Encoder: Encoder<M>,
    {
        Encoded::new(&self.shared.codec, message).map_err(|error| Error::Encode(error.into()))
    }

    // The list is whole at every moment, also where a thread has panicked that held it.

    fn read_sites(&self) -> RwLockReadGuard<'_, Vec<Arc<Site>>> {
        self.shared.sites.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_sites(&self) -> RwLockWriteGuard<'_, Vec<Arc<Site>>> {
        self.shared.sites.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn sites(&self) -> Vec<Arc<Site>> {
        self.read_sites().clone()
    }

    /// The group on this core; made if it is not there.
    fn site(&self, core: &Remote) -> Arc<Site> {
        let found = |sites: &[Arc<Site>]| sites.iter().find(|site| site.remote.is_same(core)).cloned();
        if let Some(site) = found(&self.read_sites()) {
            return site;
        }
        let mut sites = self.write_sites();
        found(&sites).unwrap_or_else(|| {
            sites.retain(|site| !site.remote.has_ended());
            sites.push(Arc::new(Site::new(core.clone())));
            sites[sites.len() - 1].clone()
        })
    }

    fn members(&self, core: &Rc<Core>) -> Rc<Members<C>> {
        core.local(self.shared.id, || {
            Members::new(self.shared.slow, self.site(&core.remote()), self.shared.skipped.clone())
        })
    }
}

impl<C> Drop for Shared<C> {
    /// Nobody can join or send any more: the cores forget it.
    fn drop(&mut self) {
        let id = self.id;
        for site in self.sites.get_mut().unwrap_or_else(PoisonError::into_inner) {
            site.remote.run(move |core| core.remove_local(id));
        }
    }
}

impl<C: Codec> Clone for Group<C> {
    fn clone(&self) -> Self {
        Group { shared: self.shared.clone() }
    }
}

impl<C: Codec> fmt::Debug for Group<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("slow", &self.shared.slow).finish_non_exhaustive()
    }
}
