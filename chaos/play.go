package chaos

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A player sends one response.
type player struct {
	w       http.ResponseWriter
	ctx     context.Context
	ended   <-chan struct{} // the provider is closed
	clock   func(time.Duration) time.Duration
	due     time.Time // when what comes next is due
	api     api
	attempt *record
}

// wait waits until a time and reports whether to go on: the client is still
// there, and the provider open. The zero time never comes.
func (p *player) wait(until time.Time) bool {
	var timer <-chan time.Time
	if !until.IsZero() {
		d := time.Until(until)
		if d <= 0 {
			return p.here()
		}
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
		return p.here()
	case <-p.ctx.Done():
	case <-p.ended:
	}
	return p.here()
}

// here reports whether the client is, and the provider is open. If it is the
// client who left, it notes that.
func (p *player) here() bool {
	select {
	case <-p.ended:
		return false
	default:
	}
	if p.ctx.Err() != nil {
		p.attempt.leave()
		return false
	}
	return true
}

// pause waits for d after what came before, with signs of life meanwhile. A
// negative d has no end.
func (p *player) pause(d, alive time.Duration) bool {
	began := p.due
	if d < 0 {
		p.due = time.Time{}
	} else {
		p.due = p.due.Add(p.clock(d))
	}
	every := p.clock(alive)
	for next := began.Add(every); every > 0 && (p.due.IsZero() || next.Before(p.due)); next = next.Add(every) {
		if !p.wait(next) || !p.send(p.api.keepAlive()) {
			return false
		}
	}
	return p.wait(p.due)
}

// send sends data at once and reports whether that went well.
func (p *player) send(data string) bool {
	_, err := p.w.Write([]byte(data))
	if err == nil {
		err = http.NewResponseController(p.w).Flush()
	}
	return err == nil || p.here()
}

// leave ends the response in the middle, so that the client notices.
func (p *player) leave() { panic(http.ErrAbortHandler) }

// reset resets the connection, as far as it has that.
func (p *player) reset() {
	conn, _, err := http.NewResponseController(p.w).Hijack()
	if err == nil {
		under := conn
		if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
			under = tls.NetConn()
		}
		if tcp, ok := under.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // or else it closes in good order
		}
		_ = under.Close()
	}
	p.leave()
}

// begin sends status and headers.
func (p *player) begin(status int, contentType string) {
	p.w.Header().Set("Content-Type", contentType)
	p.w.WriteHeader(status)
	p.attempt.status(status)
}

// whole sends a response all at once.
func (p *player) whole(status int, contentType, body string) {
	p.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	p.begin(status, contentType)
	_, _ = p.w.Write([]byte(body)) // the client may be gone, which is its right
}

// frames sends fs one by one.
func (p *player) frames(contentType string, fs []frame) {
	if len(fs) == 1 && fs[0].part == closing && fs[0].pause == 0 {
		p.whole(http.StatusOK, contentType, fs[0].data)
		return
	}
	p.begin(http.StatusOK, contentType)
	_ = http.NewResponseController(p.w).Flush() // a writer that cannot has nothing to show in between
	for _, f := range fs {
		switch f.part {
		case hush:
			if !p.pause(endless(f.pause), f.alive) {
				p.leave()
			}
			return
		case reset:
			p.reset()
		}
		if !p.pause(f.pause, f.alive) {
			p.leave()
		}
		if f.part == token {
			p.attempt.token() // before the client can have it, and look
		}
		if !p.send(f.data) {
			p.leave()
		}
	}
}

const page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in to this network</h1></body></html>\n"

// bomb sends size bytes that compress well: white space, of which a JSON
// decoder and a reader of events alike want to see the end.
func (p *player) bomb(q *ask, size int) {
	p.w.Header().Set("Content-Encoding", "gzip")
	start, contentType := "", "application/json"
	if q.stream {
		start, contentType = "data: ", eventStream
	}
	p.begin(http.StatusOK, contentType)
	const most = 1 << 20
	full := gzipped(strings.Repeat(" ", most))
	_, err := p.w.Write(gzipped(start)) // gzip may be concatenated
	for left := size - len(start); left > 0 && err == nil; left -= most {
		if left < most {
			full = gzipped(strings.Repeat(" ", left))
		}
		_, err = p.w.Write(full)
	}
	if err != nil {
		p.here()
	}
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close() // into memory
	return b.Bytes()
}
