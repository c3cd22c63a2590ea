// Command load puts a fixed amount of S3 work on one endpoint and prints what came of it as JSON.
//
// Requests are made and signed beforehand and every connection is open before the work begins, so that
// the client's own cost is small. It says "ready", waits for a line on its standard input, and does the work.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// How long an operation may take that was begun in time.
const patience = 120 * time.Second

type result struct {
	Op         string  `json:"op"`
	Size       int64   `json:"size"`
	Clients    int     `json:"clients"`
	Ops        int     `json:"ops"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Redialed   int     `json:"redialed"`
	Seconds    float64 `json:"seconds"`
	OpsPerS    float64 `json:"ops_per_s"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Max        float64 `json:"max_ms"`
	ClientCPU  float64 `json:"client_cpu_us"` // per operation
}

// client is one of those that work at the same time.
type client struct {
	connection
	latencies []float64
	errors    int
	first     string
}

func main() {
	var w work
	endpoint := flag.String("endpoint", "http://127.0.0.1:9000", "scheme, host and port")
	region := flag.String("region", "us-east-1", "region of the signature")
	clients := flag.Int("clients", 8, "connections that work at the same time")
	longest := flag.Float64("seconds", 60, "begin no operation after this time")
	flag.StringVar(&w.bucket, "bucket", "bench", "bucket")
	flag.StringVar(&w.prefix, "prefix", "o/", "what all keys begin with")
	flag.StringVar(&w.suffix, "suffix", "", "what all keys end with, after their number")
	flag.StringVar(&w.delimiter, "delimiter", "", "delimiter of listings")
	flag.StringVar(&w.op, "op", "put", "bucket (make it), drop (remove it), put, get, head, range, list or delete")
	flag.StringVar(&w.payload, "payload", "signed", "signed or unsigned: x-amz-content-sha256")
	flag.Int64Var(&w.size, "size", 4096, "bytes of an object")
	flag.Int64Var(&w.length, "length", 1<<20, "bytes of a range")
	flag.IntVar(&w.count, "count", 1000, "operations")
	flag.IntVar(&w.keys, "keys", 0, "keys that the operations go round in (default: count)")
	flag.IntVar(&w.stride, "stride", 1, "from a key to the next")
	flag.BoolVar(&w.presigned, "presigned", false, "sign in the query")
	flag.BoolVar(&w.verify, "verify", true, "compare each byte that is read with what was put")
	quickAck := flag.Bool("quickack", false, "acknowledge what comes at once: no wait of 40 ms for a server that sends in two pieces")
	flag.Parse()
	if w.keys == 0 {
		w.keys = w.count
	}
	got, err := run(w, *endpoint, *region, *clients, time.Duration(*longest*float64(time.Second)), *quickAck)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(got)
}

func run(w work, endpoint, region string, number int, longest time.Duration, quickAck bool) (*result, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	// Keys come by the environment: arguments can be read by everybody on the machine.
	accessKey, secretKey := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	p, err := newPlan(w, newSigner(accessKey, secretKey, region, target.Host, time.Now()))
	if err != nil {
		return nil, err
	}
	requests := p.requests()
	clients := make([]*client, number)
	for i := range clients {
		clients[i] = &client{latencies: make([]float64, 0, w.count/number+1)}
		clients[i].dial = func() (net.Conn, error) { return dial(target) }
		clients[i].quickAck = quickAck
		clients[i].deadline = time.Now().Add(24 * time.Hour)
		if err := clients[i].open(); err != nil {
			return nil, err
		}
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return nil, err
	}
	before, start := cpu(), time.Now()
	perform(clients, requests, start.Add(longest))
	seconds := time.Since(start).Seconds()
	got := summary(clients, seconds)
	got.Op, got.Size = w.op, w.size
	got.ClientCPU = (cpu() - before) * 1e6 / float64(max(1, got.Ops))
	return got, nil
}

func dial(target *url.URL) (net.Conn, error) {
	host := target.Host
	if target.Port() == "" {
		host = net.JoinHostPort(target.Hostname(), map[string]string{"http": "80", "https": "443"}[target.Scheme])
	}
	if target.Scheme == "https" {
		return tls.Dial("tcp", host, nil)
	}
	return net.Dial("tcp", host)
}

// perform lets the clients take requests until there are none, or until it is late.
func perform(clients []*client, requests []request, end time.Time) {
	var next atomic.Int64
	var group sync.WaitGroup
	for _, c := range clients {
		c.deadline = end.Add(patience)
		c.conn.SetDeadline(c.deadline)
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				i := next.Add(1) - 1
				if i >= int64(len(requests)) || time.Now().After(end) {
					return
				}
				c.do(&requests[i])
			}
		}()
	}
	group.Wait()
}

func (c *client) do(r *request) {
	check := checker{request: r}
	began := time.Now()
	got, err := c.exchange(r.head, r.body, r.headOnly, check.sink)
	c.latencies = append(c.latencies, time.Since(began).Seconds()*1000)
	wrong := ""
	if err != nil {
		wrong = err.Error()
	} else {
		wrong = check.verdict(got)
	}
	if wrong != "" {
		c.errors++
		if c.first == "" {
			c.first = wrong
		}
	}
}

func summary(clients []*client, seconds float64) *result {
	got := &result{Clients: len(clients), Seconds: seconds}
	var all []float64
	for _, c := range clients {
		all = append(all, c.latencies...)
		got.Errors += c.errors
		got.Redialed += c.redialed
		if got.FirstError == "" {
			got.FirstError = c.first
		}
	}
	sort.Float64s(all)
	got.Ops = len(all)
	got.OpsPerS = float64(got.Ops) / seconds
	if got.Ops > 0 {
		got.P50, got.P99, got.Max = quantile(all, 0.5), quantile(all, 0.99), all[len(all)-1]
	}
	return got
}

// quantile returns the smallest value that a share q of the sorted values does not exceed.
func quantile(sorted []float64, q float64) float64 {
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[max(0, min(at, len(sorted)-1))]
}

// cpu returns the seconds of processor time of this process.
func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}
