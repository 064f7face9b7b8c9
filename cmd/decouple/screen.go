package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// screen is standard error: a stream of lines and, on a terminal, a block below them that is drawn again and again.
type screen struct {
	w      io.Writer
	live   bool // w is a terminal that can be drawn on
	colour bool

	mu    sync.Mutex
	drawn int // lines of the block
}

// newScreen looks at what w is.
func newScreen(w io.Writer, env func(string) string) *screen {
	s := &screen{w: w}
	f, ok := w.(*os.File)
	s.live = ok && env("TERM") != "" && env("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
	s.colour = s.live && env("NO_COLOR") == ""
	return s
}

// size is the width and height of the terminal.
func (s *screen) size() (width, height int) {
	if f, ok := s.w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// Write writes lines; the block makes room and stands below them when it is next drawn.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if up := s.erase(); up != "" {
		if _, err := io.WriteString(s.w, up); err != nil {
			return 0, err
		}
	}
	return s.w.Write(p)
}

// erase is what takes the block away.
func (s *screen) erase() string {
	if s.drawn == 0 {
		return ""
	}
	up := fmt.Sprintf("\x1b[%dA\r\x1b[J", s.drawn)
	s.drawn = 0
	return up
}

// draw puts a block in place of the one before it; its lines must fit the width. Without a terminal it does nothing.
func (s *screen) draw(lines []string) {
	if !s.live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.erase()
	if len(lines) > 0 {
		text += strings.Join(lines, "\n") + "\n"
	}
	s.drawn = len(lines)
	_, _ = io.WriteString(s.w, text) // a terminal that is gone ends the process by a signal
}

// keep leaves the block where it is, as lines like any others.
func (s *screen) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = 0
}

// The colours, as a terminal is told them.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

// paint colours a text, where colours are wanted.
func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
