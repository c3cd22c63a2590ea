package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// The key pair, the moment and the signatures of the examples in Amazon's pages
// "Signature Calculations for the Authorization Header" and "Authenticating Requests: Using Query Parameters".
var example = newSigner("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1",
	"examplebucket.s3.amazonaws.com", time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))

func TestHeaderSignatureIsAmazons(t *testing.T) {
	head := example.head("GET", "/", []parameter{{"lifecycle", ""}}, hexSum(nil))
	if !strings.Contains(head, "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\r\n") {
		t.Fatal(head)
	}
}

func TestListSignatureIsAmazons(t *testing.T) {
	head := example.head("GET", "/", []parameter{{"max-keys", "2"}, {"prefix", "J"}}, hexSum(nil))
	if !strings.Contains(head, "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\r\n") {
		t.Fatal(head)
	}
}

func TestPresignedSignatureIsAmazons(t *testing.T) {
	target := example.presignedTarget("GET", "/test.txt", nil, "86400")
	if !strings.HasSuffix(target, "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404") {
		t.Fatal(target)
	}
}

// answering returns a connection whose every dial meets a server that sends the next of the texts for each
// request and ends the connection after the last.
func answering(t *testing.T, texts ...string) *connection {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			for _, text := range texts {
				if _, err := conn.Read(make([]byte, 4096)); err != nil {
					break
				}
				io.WriteString(conn, text)
			}
			conn.Close()
		}
	}()
	return &connection{
		dial:     func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) },
		deadline: time.Now().Add(10 * time.Second),
	}
}

func ask(t *testing.T, c *connection) (answer, string) {
	var body bytes.Buffer
	got, err := c.exchange([]byte("GET / HTTP/1.1\r\n\r\n"), nil, false, func(p []byte) error { body.Write(p); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return got, body.String()
}

func TestBodies(t *testing.T) {
	for name, text := range map[string]string{
		"length":   "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
		"chunked":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n",
		"to close": "HTTP/1.1 200 OK\r\n\r\nhello",
		"interim":  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	} {
		got, body := ask(t, answering(t, text))
		if got.status != 200 || body != "hello" {
			t.Errorf("%s: %d %q", name, got.status, body)
		}
	}
}

func TestAConnectionThatEndedIsOpenedAgain(t *testing.T) {
	c := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	ask(t, c)
	time.Sleep(50 * time.Millisecond)
	if _, body := ask(t, c); body != "ok" || c.redialed != 1 {
		t.Fatal(body, c.redialed)
	}
}

func TestABodyCutShortIsAnError(t *testing.T) {
	c := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
	_, err := c.exchange([]byte("GET / HTTP/1.1\r\n\r\n"), nil, false, func([]byte) error { return nil })
	if err == nil {
		t.Fatal("no error")
	}
}

func TestVerdicts(t *testing.T) {
	p, err := newPlan(work{op: "get", size: 10, keys: 3, stride: 1, count: 3, verify: true}, example)
	if err != nil {
		t.Fatal(err)
	}
	r := p.request(1)
	other := p.content(2)
	for name, one := range map[string]struct {
		status int
		body   []byte
		right  bool
	}{
		"right":          {200, p.content(1), true},
		"other object's": {200, other, false},
		"short":          {200, p.content(1)[:9], false},
		"long":           {200, p.text[1:12], false},
		"missing":        {404, []byte("NoSuchKey"), false},
	} {
		check := checker{request: &r}
		check.sink(one.body[:4])
		check.sink(one.body[4:])
		if wrong := check.verdict(answer{status: one.status}); (wrong == "") != one.right {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}

func TestQuantiles(t *testing.T) {
	sorted := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if quantile(sorted, 0.5) != 5 || quantile(sorted, 0.99) != 10 || quantile(sorted[:1], 0.5) != 1 {
		t.Fatal(quantile(sorted, 0.5), quantile(sorted, 0.99))
	}
}
