package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

const (
	readSize = 256 << 10
	// A body up to this size goes out with the head in one write.
	joined = 64 << 10
)

// connection is a keep-alive HTTP/1.1 connection that carries one exchange at a time.
type connection struct {
	dial     func() (net.Conn, error)
	deadline time.Time
	conn     net.Conn
	used     bool // an answer has come on it
	quickAck bool
	redialed int
	buffer   []byte
	start    int // of what was received and not yet looked at
	end      int
	out      []byte
}

// answer is the head of a response. length is -1 where none is stated.
type answer struct {
	status  int
	length  int64
	chunked bool
	close   bool
}

var errEarly = errors.New("the connection ended before an answer began")

func (c *connection) open() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	if c.buffer == nil {
		c.buffer = make([]byte, readSize)
	}
	c.conn, c.used, c.start, c.end = conn, false, 0, 0
	return conn.SetDeadline(c.deadline)
}

func (c *connection) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// exchange sends a request and gives the body of its answer to sink, in pieces.
//
// A server may end a connection that waits for a request. Where that happens before the first byte of an
// answer, on a connection that has carried one, the request is sent again.
func (c *connection) exchange(head, body []byte, headOnly bool, sink func([]byte) error) (answer, error) {
	for {
		if c.conn == nil {
			if err := c.open(); err != nil {
				return answer{}, err
			}
		}
		again := c.used
		got, err := c.once(head, body, headOnly, sink)
		if err != nil || got.close {
			c.drop()
		}
		if again && errors.Is(err, errEarly) {
			c.redialed++
			continue
		}
		return got, err
	}
}

func (c *connection) once(head, body []byte, headOnly bool, sink func([]byte) error) (answer, error) {
	sent := c.send(head, body)
	if c.quickAck {
		acknowledgeAtOnce(c.conn)
	}
	got, err := c.readHead()
	if err != nil {
		if sent != nil && !errors.Is(err, errEarly) {
			err = sent
		}
		return got, err
	}
	c.used = true
	if sent != nil {
		// The server answered before it had the whole body: its answer says why.
		got.close = true
	}
	if headOnly || got.status == 204 || got.status == 304 {
		return got, nil
	}
	return got, c.readBody(&got, sink)
}

func (c *connection) send(head, body []byte) error {
	if len(body) <= joined {
		c.out = append(append(c.out[:0], head...), body...)
		_, err := c.conn.Write(c.out)
		return err
	}
	pieces := net.Buffers{head, body}
	_, err := pieces.WriteTo(c.conn)
	return err
}

// acknowledgeAtOnce holds for the answer that comes next: the kernel goes back to waiting after a while.
func acknowledgeAtOnce(conn net.Conn) {
	if one, ok := conn.(*net.TCPConn); ok {
		if raw, err := one.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) {
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
			})
		}
	}
}

func (c *connection) fill() error {
	if c.start == c.end {
		c.start, c.end = 0, 0
	} else if c.end == len(c.buffer) {
		if c.start == 0 {
			return errors.New("a head or a line is too long")
		}
		c.end = copy(c.buffer, c.buffer[c.start:c.end])
		c.start = 0
	}
	n, err := c.conn.Read(c.buffer[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	return err
}

// readHead reads the head of the final answer; interim ones (1xx) are passed over.
func (c *connection) readHead() (answer, error) {
	for {
		at := bytes.Index(c.buffer[c.start:c.end], []byte("\r\n\r\n"))
		if at < 0 {
			none := c.start == c.end
			if err := c.fill(); err != nil {
				var timeout net.Error
				if none && !(errors.As(err, &timeout) && timeout.Timeout()) {
					return answer{}, errEarly
				}
				return answer{}, err
			}
			continue
		}
		head := c.buffer[c.start : c.start+at+2]
		c.start += at + 4
		got, err := parseHead(head)
		if err != nil || got.status >= 200 {
			return got, err
		}
	}
}

// parseHead reads a status line and header lines, each with its CRLF.
func parseHead(head []byte) (answer, error) {
	got := answer{length: -1}
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	status, err := strconv.Atoi(string(line[min(9, len(line)):min(12, len(line))]))
	if err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return got, fmt.Errorf("no HTTP status line: %.80q", line)
	}
	got.status = status
	got.close = line[7] == '0'
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if got.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return got, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			got.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			got.close = bytes.EqualFold(value, []byte("close"))
		}
	}
	return got, nil
}

func (c *connection) readBody(got *answer, sink func([]byte) error) error {
	if got.chunked {
		return c.readChunks(sink)
	}
	if got.length >= 0 {
		return c.take(got.length, sink)
	}
	got.close = true
	for {
		if err := sink(c.buffer[c.start:c.end]); err != nil {
			return err
		}
		c.start = c.end
		if err := c.fill(); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// take gives the next n bytes to sink.
func (c *connection) take(n int64, sink func([]byte) error) error {
	for n > 0 {
		if c.start == c.end {
			if err := c.fill(); err != nil {
				return fmt.Errorf("the body ended %d bytes early: %w", n, err)
			}
		}
		piece := c.buffer[c.start:c.end]
		if int64(len(piece)) > n {
			piece = piece[:n]
		}
		c.start += len(piece)
		n -= int64(len(piece))
		if err := sink(piece); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) readLine() ([]byte, error) {
	for {
		if at := bytes.Index(c.buffer[c.start:c.end], []byte("\r\n")); at >= 0 {
			line := c.buffer[c.start : c.start+at]
			c.start += at + 2
			return line, nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

func (c *connection) readChunks(sink func([]byte) error) error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 64)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if err := c.take(size, sink); err != nil {
			return err
		}
		if _, err := c.readLine(); err != nil {
			return err
		}
	}
	for {
		line, err := c.readLine()
		if err != nil || len(line) == 0 {
			return err
		}
	}
}
