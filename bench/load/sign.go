package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"
)

const (
	algorithm     = "AWS4-HMAC-SHA256"
	unsigned      = "UNSIGNED-PAYLOAD"
	signedHeaders = "host;x-amz-content-sha256;x-amz-date"
	presignedFor  = "3600"
)

// parameter is one item of a query string, not yet escaped.
type parameter struct{ name, value string }

// signer makes AWS Signature Version 4 for one key pair at one moment.
type signer struct {
	accessKey, region, host string
	stamp, date             string
	key                     []byte
}

func newSigner(accessKey, secretKey, region, host string, when time.Time) *signer {
	s := &signer{accessKey: accessKey, region: region, host: host}
	s.stamp = when.UTC().Format("20060102T150405Z")
	s.date = s.stamp[:8]
	s.key = []byte("AWS4" + secretKey)
	for _, part := range []string{s.date, region, "s3", "aws4_request"} {
		s.key = mac(s.key, part)
	}
	return s
}

func mac(key []byte, text string) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write([]byte(text))
	return hash.Sum(nil)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// escape encodes all but the unreserved characters of RFC 3986, and "/" where slash is true.
func escape(text string, slash bool) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9',
			strings.IndexByte("-_.~", c) >= 0, slash && c == '/':
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}

func canonicalQuery(query []parameter) string {
	items := make([]string, len(query))
	for i, p := range query {
		items[i] = escape(p.name, false) + "=" + escape(p.value, false)
	}
	sort.Strings(items)
	return strings.Join(items, "&")
}

func (s *signer) scope() string {
	return s.date + "/" + s.region + "/s3/aws4_request"
}

func (s *signer) signature(canonical string) string {
	text := algorithm + "\n" + s.stamp + "\n" + s.scope() + "\n" + hexSum([]byte(canonical))
	return hex.EncodeToString(mac(s.key, text))
}

// head returns a request head up to the blank line, signed in its headers. The path is escaped.
func (s *signer) head(method, path string, query []parameter, payload string) string {
	text := canonicalQuery(query)
	canonical := method + "\n" + path + "\n" + text + "\nhost:" + s.host + "\nx-amz-content-sha256:" + payload +
		"\nx-amz-date:" + s.stamp + "\n\n" + signedHeaders + "\n" + payload
	target := path
	if text != "" {
		target += "?" + text
	}
	return method + " " + target + " HTTP/1.1\r\nHost: " + s.host + "\r\nX-Amz-Date: " + s.stamp +
		"\r\nX-Amz-Content-Sha256: " + payload + "\r\nAuthorization: " + algorithm + " Credential=" +
		s.accessKey + "/" + s.scope() + ", SignedHeaders=" + signedHeaders + ", Signature=" +
		s.signature(canonical) + "\r\n"
}

// presignedTarget returns path and query with a signature that holds for “expires“ seconds.
func (s *signer) presignedTarget(method, path string, query []parameter, expires string) string {
	query = append([]parameter{
		{"X-Amz-Algorithm", algorithm},
		{"X-Amz-Credential", s.accessKey + "/" + s.scope()},
		{"X-Amz-Date", s.stamp},
		{"X-Amz-Expires", expires},
		{"X-Amz-SignedHeaders", "host"},
	}, query...)
	text := canonicalQuery(query)
	canonical := method + "\n" + path + "\n" + text + "\nhost:" + s.host + "\n\nhost\n" + unsigned
	return path + "?" + text + "&X-Amz-Signature=" + s.signature(canonical)
}

// presignedHead returns a request head up to the blank line, signed in its query.
func (s *signer) presignedHead(method, path string, query []parameter) string {
	target := s.presignedTarget(method, path, query, presignedFor)
	return method + " " + target + " HTTP/1.1\r\nHost: " + s.host + "\r\n"
}
