"""The gunicorn worker: connections, deadlines and framing errors. It knows WSGI, and nothing of S3.

A connection has a thread only while a request is served. Between requests, and until a complete head
has arrived, it waits in the worker's event loop, where it costs a file descriptor and a deadline; a
slow client cannot hold a thread without having sent a whole head.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from itertools import takewhile
from selectors import EVENT_READ
from socket import SHUT_WR
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from s3shim.server.http import (
    DRAIN_SECONDS,
    MAX_DRAIN,
    MAX_HEADER_SECTION,
    Connection,
    PatientSocket,
    Request,
    Response,
    base_environ,
    make_environ,
)

_RECEIVE = 16 * 1024

_HELD = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)

# How long a thread waits for the next request of its client before it gives the connection back.
_NEXT_REQUEST_SECONDS = 0.002

_STATUS = (
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.ExpectationFailed, 417),
    (errors.UnsupportedTransferCoding, 501),
    (errors.ParseException, 400),
)


class Worker(ThreadWorker):
    """gunicorn's threaded worker with deadlines.

    An application with ``framing_error(status, reason) -> (status line, headers, body)`` answers
    what never becomes a request: framing errors, time-outs of the head, and its own crashes.
    """

    header_timeout = 10.0
    idle_timeout = 60.0
    request_timeout = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.base_environ = base_environ(self.cfg.workers)
        self.max_head = self.cfg.limit_request_line + MAX_HEADER_SECTION + len(b"\r\n\r\n\r\n")
        self.closing_conns: deque[Connection] = deque()

    # -- the event loop: everything below runs in the worker's main thread ---------------------

    def accept(self, listener: Any) -> None:
        """Take a connection; it may have sent its request already."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self.log.error("cannot accept a connection: %s", error)
                time.sleep(0.1)
            return
        sock.setblocking(False)
        self.nr_conns += 1
        patient = PatientSocket(sock, self.idle_timeout, self.request_timeout)
        self.receive(Connection(self.cfg, patient, client, listener.getsockname()))

    def receive(self, conn: Connection, _sock: Any = None) -> None:
        """Take what has arrived, and give the connection a thread or let it wait for more."""
        try:
            whole = conn.fill(self.max_head)
        except BlockingIOError:
            whole = False
        except (EOFError, OSError):
            self.drop(conn)
            return
        self.place(conn, whole)

    def place(self, conn: Connection, whole: bool) -> None:
        """Serve a whole head; wait for the rest of one, or for the first byte of the next."""
        if whole:
            self.unpark(conn)
            self.enqueue_req(conn)
        elif conn.head:
            self.park(conn, self.pending_conns, self.header_timeout)
        else:
            self.park(conn, self.keepalived_conns, self.cfg.keepalive)

    def park(self, conn: Connection, queue: deque[Connection], seconds: float) -> None:
        """Let the connection wait for bytes, at most ``seconds`` from the time it joins the queue."""
        if conn.queue is queue:
            return
        self.unpark(conn)
        if not self.alive:
            seconds = min(seconds, STOP_KEEPALIVE_LINGER)
        conn.timeout = time.monotonic() + seconds
        conn.queue = queue
        queue.append(conn)
        callback = self.discard if queue is self.closing_conns else self.receive
        self.poller.register(conn.sock, EVENT_READ, partial(callback, conn))

    def unpark(self, conn: Connection) -> None:
        """Stop waiting."""
        if conn.queue is not None:
            conn.queue.remove(conn)
            conn.queue = None
            if conn.discarded < MAX_DRAIN:
                self.poller.unregister(conn.sock)

    def drop(self, conn: Connection) -> None:
        """Forget the connection."""
        self.unpark(conn)
        self.nr_conns -= 1
        conn.close()

    def discard(self, conn: Connection, _sock: Any = None) -> None:
        """Throw away what a refused client still sends, so that it can read its answer.

        Beyond the limit nothing is read any more: the client's writes stall until the time is up.
        """
        try:
            data = conn.sock.raw.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(conn)
            return
        conn.discarded += len(data)
        if conn.discarded >= MAX_DRAIN:
            self.poller.unregister(conn.sock)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections whose time without a request is up."""
        self._expire(self.keepalived_conns, force)

    def murder_pending(self) -> None:
        """Refuse heads that take too long; close what has been refused long enough."""
        for conn in self._expired(self.pending_conns):
            conn.sock.raw.setblocking(False)
            self.refuse(conn, 408, "the request head did not arrive in time")
            self.drop(conn)
        self._expire(self.closing_conns)

    def _expired(self, queue: deque[Connection]) -> list[Connection]:
        now = time.monotonic()
        return list(takewhile(lambda conn: conn.timeout <= now, queue))

    def _expire(self, queue: deque[Connection], force: bool = False) -> None:
        for conn in list(queue) if force else self._expired(queue):
            self.drop(conn)

    def finish_request(self, conn: Connection, future: Future[bool]) -> None:
        """A thread is done with the connection: wait for its next request, or end it."""
        try:
            conn.sock.raw.setblocking(False)
            if not future.cancelled() and future.exception() is None and future.result():
                self.place(conn, conn.ready)
                return
            # Closing with unread bytes would reset the connection and could take the answer with it.
            conn.sock.raw.shutdown(SHUT_WR)
            self.park(conn, self.closing_conns, DRAIN_SECONDS)
        except OSError:
            self.drop(conn)

    def init_signals(self) -> None:
        """Take the signals that have come since the fork, now that they reach the worker."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)

    def is_parent_alive(self) -> bool:
        """Whether the master lives. An orphan stops as at SIGTERM: its answers end their connections."""
        if not super().is_parent_alive():
            self.alive = False
        return bool(self.alive)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, SIGINT: stop now. Threads that wait for a client are not waited for."""
        self.alive = False
        os._exit(0)

    # -- the threads ---------------------------------------------------------------------------

    def handle(self, conn: Connection) -> bool:
        """Serve requests as they come in close succession; return whether the connection is kept.

        A client that sends its next request at once keeps its thread, unless another connection
        waits for one: the hand-over between threads costs more than a small request.
        """
        conn.sock.begin()
        while self._serve(conn):
            conn.ready = self._next_head(conn)
            if not conn.ready or not self._nobody_waits():
                return True
            conn.sock.begin()
        return False

    def _nobody_waits(self) -> bool:
        """Whether no connection waits for a thread."""
        return bool(self.tpool._work_queue.empty())

    def _next_head(self, conn: Connection) -> bool:
        conn.head += conn.parser.unreader.take_buffered()
        if conn.head and conn.whole(self.max_head):
            return True
        if not self._nobody_waits():
            return False
        conn.sock.settimeout(_NEXT_REQUEST_SECONDS)
        try:
            return conn.fill(self.max_head)
        except (TimeoutError, EOFError, OSError):
            # Gone or slow: the event loop finds out which.
            return False

    def _serve(self, conn: Connection) -> bool:
        """Serve one request; return whether the connection may carry another."""
        request: Request | None = None
        response: Response | None = None
        try:
            request = next(conn.parser)
            response = Response(request, conn.sock, self.cfg)
            self.answer(request, response, conn)
            if response.should_close() or not response.complete:
                return False
            return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS))
        except StopIteration:
            return False
        except errors.ParseException as error:
            if request is None:
                status = next(status for kind, status in _STATUS if isinstance(error, kind))
                self.refuse(conn, status, str(error))
                return False
            self._crashed(conn, request, response)
        except OSError as error:
            self.log.debug("connection lost: %s", error)
        except Exception:
            self._crashed(conn, request, response)
        return False

    def answer(self, request: Request, response: Response, conn: Connection) -> None:
        """Let the application answer."""
        environ = make_environ(request, conn, self.base_environ)
        if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        chunks = self.wsgi(environ, response.start_response)
        try:
            for chunk in chunks:
                response.write(chunk)
            response.close()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def _crashed(self, conn: Connection, request: Request | None, response: Response | None) -> None:
        """The application failed: answer 500 where nothing has been sent, or cut the answer short."""
        self.log.exception("the application failed")
        if response is None or not response.begun:
            self.refuse(
                conn, 500, "internal error", head_only=request is not None and request.method == "HEAD"
            )

    def refuse(self, conn: Connection, status: int, reason: str, *, head_only: bool = False) -> None:
        """Answer without a request; the connection ends with it."""
        make = getattr(self.wsgi, "framing_error", None)
        if make is None:
            line, headers, body = f"{status} {HTTPStatus(status).phrase}", [], reason[:200].encode() + b"\n"
        else:
            line, headers, body = make(status, reason[:200])
        given = {name.lower(): value for name, value in headers}
        headers = [header for header in headers if header[0].lower() != "connection"]
        headers.append(("Connection", "close"))
        if "content-length" not in given:
            headers.append(("Content-Length", str(len(body))))
        if "date" not in given:
            headers.append(("Date", util.http_date()))
        head = f"HTTP/1.1 {line}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
        try:
            conn.sock.sendall(head.encode("latin-1") + (b"" if head_only else body))
        except OSError as error:
            self.log.debug("connection lost: %s", error)


def hold_signals_over_forks() -> None:
    """Keep the signals that stop a worker until it listens to them. Call it once, in the master.

    Else one that comes just after the fork meets the master's handler in the worker and is lost:
    the worker serves on, and the master waits for it until the graceful time-out is over.
    """
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _HELD),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _HELD),
    )


def worker_class(*, header_timeout: float, idle_timeout: float, request_timeout: float) -> type[Worker]:
    """Return a worker class with these time-outs, in seconds; ``request_timeout`` 0 is none.

    ``header_timeout``: from the first byte of a head to its end. ``idle_timeout``: without a byte
    moving, in a body or an answer. ``request_timeout``: a whole request.
    """
    times = {
        "header_timeout": header_timeout,
        "idle_timeout": idle_timeout,
        "request_timeout": request_timeout,
    }
    return type("Worker", (Worker,), times)
