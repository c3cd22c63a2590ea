package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"unicode/utf8"
)

// The contents of objects are windows of one random text, moved by a byte from key to key: no two of this
// many neighbouring keys have the same bytes, so an answer with another object's bytes is found out. Each
// bucket and prefix has a text of its own, for a storage may keep equal blocks once.
const windows = 65521

// page is the number of keys that a listing asks for.
const page = 1000

// work says what to do; see the flags in main.go.
type work struct {
	bucket, prefix, suffix, op, payload string
	delimiter                           string
	size, length                        int64
	count, keys, stride                 int
	presigned, verify                   bool
}

// request is all that is sent for one operation, and what its answer must be.
type request struct {
	head, body []byte
	headOnly   bool
	status     int
	want       []byte // the bytes that must come, where they are compared
	length     int64  // the number of bytes that must come, -1 for any
	keys       int    // the number of keys that a listing must have, -1 for any
}

type plan struct {
	work
	signer *signer
	text   []byte
}

func newPlan(w work, s *signer) (*plan, error) {
	switch w.op {
	case "bucket", "drop", "put", "get", "head", "range", "list", "delete":
	default:
		return nil, fmt.Errorf("no such operation: %q", w.op)
	}
	p := &plan{work: w, signer: s}
	if w.op == "put" || w.verify && (w.op == "get" || w.op == "range") {
		p.text = make([]byte, w.size+windows)
		rand.NewChaCha8(sha256.Sum256([]byte(w.bucket + "/" + w.prefix))).Read(p.text)
	}
	return p, nil
}

// requests makes and signs all requests, on all cores.
func (p *plan) requests() []request {
	made := make([]request, p.count)
	var group sync.WaitGroup
	cores := runtime.NumCPU()
	for core := 0; core < cores; core++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := core; i < p.count; i += cores {
				made[i] = p.request(i)
			}
		}()
	}
	group.Wait()
	return made
}

// index returns the number of the key that operation i is about. A listing begins where a page is full.
func (p *plan) index(i int) int {
	keys := p.keys
	if p.op == "list" {
		keys = max(1, keys-page)
	}
	return i * p.stride % keys
}

func (p *plan) key(index int) string {
	return fmt.Sprintf("%s%07d%s", p.prefix, index, p.suffix)
}

func (p *plan) content(index int) []byte {
	at := int64(index % windows)
	return p.text[at : at+p.size]
}

func (p *plan) request(i int) request {
	index := p.index(i)
	path := "/" + escape(p.bucket, false)
	object := path + "/" + escape(p.key(index), true)
	switch p.op {
	case "bucket":
		return p.make("PUT", path, nil, nil, request{status: 200, length: -1, keys: -1})
	case "drop":
		return p.make("DELETE", path, nil, nil, request{status: 204, length: -1, keys: -1})
	case "put":
		return p.make("PUT", object, nil, p.content(index), request{status: 200, length: -1, keys: -1})
	case "head":
		return p.make("HEAD", object, nil, nil, request{status: 200, length: p.size, keys: -1, headOnly: true})
	case "delete":
		return p.make("DELETE", object, nil, nil, request{status: 204, length: -1, keys: -1})
	case "list":
		return p.list(path, index)
	case "range":
		return p.rangeOf(object, i, index)
	}
	wanted := request{status: 200, length: p.size, keys: -1}
	if p.verify {
		wanted.want = p.content(index)
	}
	return p.make("GET", object, nil, nil, wanted)
}

// list asks for one page, after the key with this index, or from the beginning where it is 0.
func (p *plan) list(path string, index int) request {
	rest := p.keys
	query := []parameter{{"list-type", "2"}, {"max-keys", strconv.Itoa(page)}, {"prefix", p.prefix}}
	if p.delimiter != "" {
		query = append(query, parameter{"delimiter", p.delimiter})
	}
	if index > 0 {
		query = append(query, parameter{"start-after", p.key(index)})
		rest = p.keys - index - 1
	}
	return p.make("GET", path, query, nil, request{status: 200, length: -1, keys: min(page, rest)})
}

func (p *plan) rangeOf(object string, i, index int) request {
	wanted := request{status: 206, length: p.length, keys: -1}
	// Beginnings that are spread over the object and fall on no boundary.
	first := int64(i) * 7_368_787 % (p.size - p.length + 1)
	if p.verify {
		wanted.want = p.content(index)[first : first+p.length]
	}
	made := p.make("GET", object, nil, nil, wanted)
	made.head = made.head[:len(made.head)-2]
	made.head = fmt.Appendf(made.head, "Range: bytes=%d-%d\r\n\r\n", first, first+p.length-1)
	return made
}

func (p *plan) make(method, path string, query []parameter, body []byte, made request) request {
	payload := p.payload
	if payload == "signed" {
		payload = hexSum(body)
	} else {
		payload = unsigned
	}
	head := ""
	if p.presigned {
		head = p.signer.presignedHead(method, path, query)
	} else {
		head = p.signer.head(method, path, query, payload)
	}
	if method == "PUT" {
		head += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	made.head, made.body = []byte(head+"\r\n"), body
	return made
}

// checker takes the body of an answer and finds out whether it is the right one.
type checker struct {
	request *request
	got     int64
	text    []byte // of listings and of errors
	wrong   bool
}

const longestText = 4 << 20

func (c *checker) sink(piece []byte) error {
	if c.request.keys >= 0 || c.request.length < 0 || c.got < 1024 {
		if len(c.text) < longestText {
			c.text = append(c.text, piece...)
		}
	}
	if want := c.request.want; want != nil && !c.wrong {
		end := c.got + int64(len(piece))
		c.wrong = end > int64(len(want)) || !bytes.Equal(piece, want[c.got:end])
	}
	c.got += int64(len(piece))
	return nil
}

// verdict returns what is wrong with the answer, "" where nothing is.
func (c *checker) verdict(got answer) string {
	r := c.request
	if got.status != r.status && !(r.status == 204 && got.status == 200) {
		return fmt.Sprintf("status %d, %d bytes: %s", got.status, c.got, excerpt(c.text))
	}
	length := c.got
	if r.headOnly {
		length = got.length
	}
	if r.length >= 0 && length != r.length {
		return fmt.Sprintf("%d bytes instead of %d", length, r.length)
	}
	if c.wrong {
		return "wrong bytes"
	}
	if r.keys >= 0 {
		if found := bytes.Count(c.text, []byte("<Key>")); found != r.keys {
			return fmt.Sprintf("%d keys instead of %d", found, r.keys)
		}
	}
	return ""
}

// excerpt returns the beginning of a text on one line, "" of what is no text.
func excerpt(text []byte) string {
	text = bytes.Join(bytes.Fields(text), []byte(" "))
	if !utf8.Valid(text) {
		return "no text"
	}
	return string(text[:min(len(text), 300)])
}
