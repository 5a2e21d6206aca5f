//! What a server does with datagrams.

use super::listen::ListenUdp;
use super::listen::sealed::Place;
use crate::error::{Error, Result};
use crate::io::{Address, DatagramSocket, Endpoint, ListenOptions, Purpose, first_usable};
pub(super) use crate::net::DatagramHandler;
use crate::net::{UdpSocket, drive_datagrams};
use crate::runtime::{Core, spawn_local};
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Weak;
use std::time::Duration;

/// Begins to handle datagrams on a core.
pub(super) type StartDatagrams = Box<dyn FnOnce(&Rc<Core>, DatagramSocket, &Failed) -> io::Result<()> + Send>;

/// Why a handler of datagrams could not open, on one core.
pub(super) type Failed = Rc<Cell<Option<Error>>>;

/// One `listen_udp` of a server.
pub(super) struct DatagramListening {
    pub(super) address: Address,
    /// At least one. Those for more cores are added when the server begins, or when they are duplicated before that; several
    /// that were made elsewhere are spread over the cores.
    sockets: RefCell<Vec<DatagramSocket>>,
    /// How it was bound, if each core may have a socket of its own, and the kernel spreads peers over them.
    shared: Option<ListenOptions>,
    /// Makes what each core starts, with the number of this among the listeners of its server.
    start: Box<dyn FnMut(usize) -> StartDatagrams + Send>,
}

impl DatagramListening {
    pub(super) fn new<H, F>(on: impl ListenUdp, make: F) -> Result<DatagramListening>
    where
        H: DatagramHandler,
        F: FnOnce(usize) -> H + Clone + Send + 'static,
    {
        let start = Box::new(move |listener| {
            let make = make.clone();
            Box::new(move |core: &Rc<Core>, socket, failed: &Failed| {
                let socket = UdpSocket::new(core, socket, Some(listener))?;
                let (core, handler, failed) = (core.clone(), make(core.index), failed.clone());
                spawn_local(async move {
                    if let Err(error) = drive_datagrams(handler, socket).await {
                        failed.set(Some(error));
                        core.stop_server(Duration::ZERO);
                    }
                })
                .detach();
                Ok(())
            }) as StartDatagrams
        });
        let (sockets, shared) = match on.udp_place()? {
            Place::Bind(how) => {
                let how = how.for_datagrams()?;
                let can_share = cfg!(target_os = "linux");
                let socket = bind(&how.endpoint, &how.options, can_share)?;
                (vec![socket], can_share.then_some(how.options))
            }
            Place::Bound(fds) => {
                let sockets: io::Result<Vec<_>> = fds.into_iter().map(DatagramSocket::from_fd).collect();
                (sockets?, None)
            }
        };
        let Some(first) = sockets.first() else { return Err(Error::msg("expected at least one socket to listen on")) };
        let address = first.local_address()?.into();
        Ok(DatagramListening { address, sockets: RefCell::new(sockets), shared, start })
    }

    /// The sockets: at least one for each core where more can be made for the same port.
    fn sockets(&self, cores: usize) -> Result<RefMut<'_, Vec<DatagramSocket>>> {
        let mut sockets = self.sockets.borrow_mut();
        if let Some(options) = &self.shared {
            while sockets.len() < cores {
                let bound = sockets[0].local_address()?.into();
                let another = DatagramSocket::bind_another(&bound, options);
                let failed = |source| Error::Bind { address: self.address.to_string(), source };
                sockets.push(another.map_err(failed)?);
            }
        }
        Ok(sockets)
    }

    /// What core `index` of so many does of it, where it is the listener of that number.
    pub(super) fn of_core(
        &mut self,
        index: usize,
        cores: usize,
        number: usize,
    ) -> Result<Vec<(StartDatagrams, DatagramSocket)>> {
        let sockets: Vec<_> =
            self.sockets(cores)?.iter().skip(index).step_by(cores).map(DatagramSocket::share).collect();
        Ok(sockets.into_iter().map(|socket| ((self.start)(number), socket)).collect())
    }

    /// Duplicates of the descriptors that so many cores have.
    pub(super) fn duplicates(&self, cores: usize) -> Result<Vec<OwnedFd>> {
        let sockets = self.sockets(cores)?;
        Ok(sockets.iter().map(|socket| socket.as_fd().try_clone_to_owned()).collect::<io::Result<_>>()?)
    }

    /// The descriptors, which the cores own.
    pub(super) fn descriptors(&self) -> Vec<Weak<dyn AsFd + Send + Sync>> {
        let sockets = self.sockets.borrow();
        sockets.iter().map(|socket| socket.descriptor() as Weak<dyn AsFd + Send + Sync>).collect()
    }
}

/// Binds the first address of a name that can be bound.
fn bind(endpoint: &Endpoint, options: &ListenOptions, shared: bool) -> Result<DatagramSocket> {
    let bound =
        first_usable(&endpoint.resolve(Purpose::Listen)?, |address| DatagramSocket::bind(address, options, shared));
    bound.map_err(|source| Error::Bind { address: endpoint.to_string(), source })
}
