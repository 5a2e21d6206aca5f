//! Groups: one message to many connections.
//!
//! A group has a list of members on each core, which only that core touches. A message is encoded once, where it is
//! sent. At the end of its turn each core writes what was said in it to its members, in one system call each, from the
//! same bytes; only what a socket does not take is queued.

mod members;

use crate::codec::{Codec, Encoded, Encoder};
use crate::connection::{Conn, ConnectionId, Handle};
use crate::error::{Error, Result};
use crate::limits;
use crate::runtime::{Core, Remote, oneshot, with_current};
use members::Members;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

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
    cores: RwLock<Vec<GroupCore>>,
    skipped: Arc<AtomicUsize>,
}

/// A group on one core, as others see it.
#[derive(Clone)]
struct GroupCore {
    remote: Remote,
    members: Arc<AtomicUsize>,
    /// Messages on their way to the core.
    in_flight: Arc<AtomicUsize>,
}

/// A message on its way to a core, which may end before it opens its mail.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn new(count: &Arc<AtomicUsize>) -> InFlight {
        count.fetch_add(1, Relaxed);
        InFlight(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
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
        let (cores, skipped) = (RwLock::default(), Arc::default());
        Group { shared: Arc::new(Shared { id, codec, slow, cores, skipped }) }
    }

    /// Makes a connection a member, until it leaves or closes. Says whether it has not been one.
    pub fn join(&self, conn: &Conn<C>) -> bool {
        self.members(&conn.link.core).join(&conn.link)
    }

    /// Makes the connection of a handle a member: at once if this is its core, else soon.
    pub fn join_handle(&self, handle: &Handle<C>) {
        let group = self.clone();
        handle.on_core(move |link| {
            if let Some(link) = link {
                group.members(&link.core).join(&link);
            }
        });
    }

    /// Ends a connection's membership. Says whether it has been a member.
    pub fn leave(&self, conn: &Conn<C>) -> bool {
        self.members(&conn.link.core).leave(&conn.link)
    }

    /// Ends the membership of a handle's connection: at once if this is its core, else soon.
    pub fn leave_handle(&self, handle: &Handle<C>) {
        let group = self.clone();
        handle.on_core(move |link| {
            if let Some(link) = link {
                group.members(&link.core).leave(&link);
            }
        });
    }

    /// How many members there are, on all cores.
    pub fn len(&self) -> usize {
        self.cores().iter().map(|core| core.members.load(Relaxed)).sum()
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
    /// [`Error::Encode`] when the codec cannot send this message. [`Error::Busy`] when 1,024 messages of this group are
    /// under way to a core already; then nobody gets it.
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
        for core in self.cores() {
            let (done, queued) = oneshot();
            let (group, encoded) = (self.clone(), encoded.clone());
            all_live &= on_core(&core.remote, move |core| {
                if let Some(members) = group.find_members(core) {
                    members.send(encoded, done);
                }
            });
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
        let cores = self.shared.cores.read().unwrap_or_else(PoisonError::into_inner);
        if cores.iter().any(|core| core.in_flight.load(Relaxed) >= limits::IN_FLIGHT) {
            return Err(Error::Busy);
        }
        let (here, mut to_do_here) = (with_current(Rc::clone), None);
        let mut all_live = true;
        for core in cores.iter() {
            let (group, encoded, in_flight) = (self.clone(), encoded.clone(), InFlight::new(&core.in_flight));
            let work = move |core: &Rc<Core>| {
                drop(in_flight);
                if let Some(members) = group.find_members(core) {
                    match except {
                        Some(except) => members.post_except(&encoded, except),
                        None => members.post(core, encoded),
                    }
                }
            };
            match &here {
                Some(here) if here.is_at(&core.remote) => to_do_here = Some(work),
                _ => all_live &= core.remote.run(work),
            }
        }
        // Not under the lock: it may call a user's code, which may join.
        drop(cores);
        if let (Some(here), Some(work)) = (here, to_do_here) {
            work(&here);
        }
        if !all_live {
            self.forget_ended_cores();
        }
        Ok(())
    }

    /// A group may outlive a server.
    #[cold]
    fn forget_ended_cores(&self) {
        let mut cores = self.shared.cores.write().unwrap_or_else(PoisonError::into_inner);
        cores.retain(|core| !core.remote.has_ended());
    }

    fn encode<M: ?Sized>(&self, message: &M) -> Result<Encoded>
    where
        C::Encoder: Encoder<M>,
    {
        Encoded::new(&self.shared.codec, message).map_err(|error| Error::Encode(error.into()))
    }

    fn cores(&self) -> Vec<GroupCore> {
        // The list is whole at every moment, also where somebody has panicked.
        self.shared.cores.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The members of this core, who are few or none.
    fn find_members(&self, core: &Core) -> Option<Rc<Members<C>>> {
        core.find_local(self.shared.id)
    }

    fn members(&self, core: &Rc<Core>) -> Rc<Members<C>> {
        core.local(self.shared.id, || {
            let (remote, count) = (core.remote(), Arc::default());
            let entry = GroupCore { remote, members: Arc::clone(&count), in_flight: Arc::default() };
            self.forget_ended_cores();
            self.shared.cores.write().unwrap_or_else(PoisonError::into_inner).push(entry);
            Members::new(self.shared.slow, count, self.shared.skipped.clone())
        })
    }
}

/// Has `work` done on a core: at once if this is that core, else in its next turn. Says whether the core is still there.
fn on_core(remote: &Remote, work: impl FnOnce(&Rc<Core>) + Send + 'static) -> bool {
    match with_current(Rc::clone).filter(|core| core.is_at(remote)) {
        Some(core) => {
            work(&core);
            true
        }
        None => remote.run(work),
    }
}

impl<C> Drop for Shared<C> {
    /// Nobody can join or send any more: the cores forget it.
    fn drop(&mut self) {
        let id = self.id;
        for core in self.cores.get_mut().unwrap_or_else(PoisonError::into_inner) {
            core.remote.run(move |core| core.remove_local(id));
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
