package transport

import (
	"slices"
	"sync"
	"time"
)

// pool is the idle connections to one target, the one used last on top: the others can grow old and go.
type pool struct {
	client *Client
	key    key

	mu    sync.Mutex
	idle  []*conn
	timer *time.Timer // runs while there are idle ones
}

// take gives the idle connection that was used last and is still open, its deadline patience from now; nil if there is none.
func (p *pool) take(patience time.Duration) *conn {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		cn := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		now := time.Now()
		cn.hurry(now.Add(patience))
		if now.Before(cn.until) && cn.quiet() {
			return cn
		}
		cn.close()
	}
}

// put takes a connection back, or closes it if there are enough.
func (p *pool) put(cn *conn) {
	idle := p.client.cfg.Idle
	if cn.idle > 0 && cn.idle < idle {
		idle = cn.idle
	}
	cn.until = time.Now().Add(idle)
	p.mu.Lock()
	full := len(p.idle) >= p.client.cfg.MaxIdle
	if !full {
		p.idle = append(p.idle, cn)
		p.watch()
	}
	p.mu.Unlock()
	if full {
		cn.close()
	}
}

// watch sees to it that old connections go even if nobody asks; p.mu is held.
func (p *pool) watch() {
	if p.timer == nil && len(p.idle) > 0 {
		p.timer = time.AfterFunc(p.client.cfg.Idle/2+time.Millisecond, func() { p.sweep(1) })
	}
}

// sweep closes what is too old, or with keep 0 all.
func (p *pool) sweep(keep int) {
	now := time.Now()
	p.mu.Lock()
	var gone []*conn
	p.idle = slices.DeleteFunc(p.idle, func(cn *conn) bool {
		old := keep == 0 || !now.Before(cn.until)
		if old {
			gone = append(gone, cn)
		}
		return old
	})
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.watch()
	p.mu.Unlock()
	for _, cn := range gone {
		cn.close()
	}
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}
