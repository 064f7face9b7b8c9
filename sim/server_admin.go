package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"decouple.dev/decouple"
)

// adminHandler is what whoever runs the simulation asks.
func (s *Servers) adminHandler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	m.HandleFunc("GET /clouds", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Table()) })
	m.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Faults()) })
	m.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) { s.setFaults(w, r, false) })
	m.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) { s.setFaults(w, r, true) })
	m.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) { s.clearFaults(w, "") })
	m.HandleFunc("DELETE /faults/{name}", func(w http.ResponseWriter, r *http.Request) { s.clearFaults(w, r.PathValue("name")) })
	m.HandleFunc("GET /invoice", func(w http.ResponseWriter, r *http.Request) {
		cloud := r.URL.Query().Get("cloud")
		lines(w, s.Invoice(), func(l Line) bool { return cloud == "" || l.Cloud == cloud })
	})
	m.HandleFunc("GET /journal", func(w http.ResponseWriter, r *http.Request) {
		cloud := r.URL.Query().Get("cloud")
		entries, lost := s.Journal()
		w.Header().Set("X-Entries-Not-Kept", strconv.FormatInt(lost, 10))
		lines(w, entries, func(e Entry) bool { return cloud == "" || e.Cloud == cloud })
	})
	m.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.reset(); err != nil {
			failed(w, err)
			return
		}
		reply(w, http.StatusOK, map[string]string{"status": "reset"})
	})
	return m
}

// reply writes JSON.
func reply[T any](w http.ResponseWriter, status int, v T) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a caller that has gone needs no answer
}

func failed(w http.ResponseWriter, err error) {
	kind := decouple.KindOf(err)
	reply(w, kind.Rule().HTTP, map[string]map[string]string{"error": {"kind": string(kind), "message": err.Error()}})
}

// lines writes JSON, a value a line.
func lines[T any](w http.ResponseWriter, list []T, wanted func(T) bool) {
	w.Header().Set("content-type", "application/jsonl")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, v := range list {
		if wanted(v) && e.Encode(v) != nil {
			return
		}
	}
}

// Invoice is every line so far.
func (s *Servers) Invoice() []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books.lines[:len(s.books.lines):len(s.books.lines)]
}

// Journal is what reached the clouds, the oldest first, and how many entries are not kept any more.
func (s *Servers) Journal() ([]Entry, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books.entries[:len(s.books.entries):len(s.books.entries)], s.books.lost
}

// ShownFault is a fault as the interface shows it. Times are of the world.
type ShownFault struct {
	Name       string    `json:"name"`
	Kind       FaultKind `json:"kind"`
	Cloud      string    `json:"cloud,omitempty"`
	Region     string    `json:"region,omitempty"`
	Model      string    `json:"model,omitempty"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to,omitzero"`
	Active     bool      `json:"active"`
	Share      float64   `json:"share,omitempty"`
	Nth        int64     `json:"nth,omitempty"`
	Mode       string    `json:"mode,omitempty"`
	After      int64     `json:"after,omitempty"`
	For        string    `json:"for,omitempty"`
	Factor     float64   `json:"factor,omitempty"`
	RetryAfter string    `json:"retry_after,omitempty"`
	Message    string    `json:"message,omitempty"`
}

// Faults lists the faults that were and will be.
func (s *Servers) Faults() []ShownFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	out := []ShownFault{}
	for _, f := range s.world.Faults() {
		from := s.world.Start().Add(f.From)
		v := ShownFault{
			Name: f.Name, Kind: f.Kind, Cloud: f.Cloud, Region: f.Region, Model: f.Model, From: from, Active: !now.Before(from), Share: f.Share, Nth: f.Nth,
			Mode: f.Mode, After: f.After, Factor: f.Factor, Message: f.Message,
		}
		if f.To > 0 {
			v.To = s.world.Start().Add(f.To)
			v.Active = v.Active && now.Before(v.To)
		}
		if f.For > 0 {
			v.For = f.For.String()
		}
		if f.RetryAfter != 0 {
			v.RetryAfter = f.RetryAfter.String()
		}
		out = append(out, v)
	}
	return out
}

// SetFaults adds faults, or puts them in the place of all that there are. Their From and To count from now. All are set, or none.
func (s *Servers) SetFaults(list []Fault, instead bool) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.world.faults
	if instead {
		s.world.faults = nil
	}
	since := s.now().Sub(s.world.Start())
	var names []string
	for _, f := range list {
		if f.To > 0 {
			f.To += since
		}
		if f.From += since; f.From < 0 {
			f.From = 0
		}
		f, err := s.world.AddFault(f)
		if err != nil {
			s.world.faults = before
			return nil, err
		}
		names = append(names, f.Name)
	}
	return names, nil
}

func (s *Servers) setFaults(w http.ResponseWriter, r *http.Request, instead bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		failed(w, decouple.Errorf(decouple.Invalid, "the request cannot be read: %w", err))
		return
	}
	list, err := ReadFault(body)
	if err == nil {
		var names []string
		if names, err = s.SetFaults(list, instead); err == nil {
			reply(w, http.StatusCreated, map[string][]string{"names": names})
			return
		}
	}
	failed(w, err)
}

// ClearFaults takes back the fault of a name, or all if it is empty, and says how many there were.
func (s *Servers) ClearFaults(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.ClearFault(name)
}

func (s *Servers) clearFaults(w http.ResponseWriter, name string) {
	n := s.ClearFaults(name)
	if n == 0 && name != "" {
		failed(w, decouple.Errorf(decouple.NotFound, "there is no fault of the name %q", plain(name)))
		return
	}
	reply(w, http.StatusOK, map[string]int{"cleared": n})
}
