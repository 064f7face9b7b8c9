package knowledge

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// Limits of a search.
const (
	defaultLimit = 12
	maxLimit     = 50
	maxTerms     = 40 // of a question and of its theme, each
	candidates   = 80 // passages whose units are ranked
	manyPassages = 1000
)

// Search finds the units that answer a question best, within sources. It waits until the index has reached the sources' position, or the newest event if they
// have none. The same question to the same sources has the same answer, whatever was added to others and in whichever order.
func (b *Base) Search(ctx context.Context, src decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error) {
	var none decouple.SearchResult
	if err := b.CatchUp(ctx, src.AsOf); err != nil {
		return none, err
	}
	v, err := b.view(ctx, src, args.Sources)
	if err != nil {
		return none, err
	}
	own := capped(prose.Unique(args.Query))
	theme := slices.DeleteFunc(capped(prose.Unique(strings.Join(append(args.Theme, args.Section...), " / "))), func(t string) bool { return slices.Contains(own, t) })
	result := decouple.SearchResult{Passages: v.passages, Units: []decouple.Unit{}}
	if result.Terms, err = b.countTerms(ctx, v, own); err != nil {
		return none, err
	}
	themes, err := b.countTerms(ctx, v, theme)
	if err != nil {
		return none, err
	}
	related, err := b.countTerms(ctx, v, relatedTo(result.Terms, v.passages))
	if err != nil {
		return none, err
	}
	related = slices.DeleteFunc(related, func(t decouple.Term) bool { return t.Passages == 0 })
	found, err := b.index.candidates(ctx, v, matchable(result.Terms, related, v.passages), matchable(themes, nil, v.passages))
	if err != nil || len(found) == 0 {
		return result, err
	}
	limit := args.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	hits, err := rankUnits(newAsked(result.Terms, themes, related, args.Section, v.passages), found)
	result.Terms = append(result.Terms, related...)
	if err != nil {
		return none, err
	}
	result.Units, err = b.index.units(ctx, best(hits, min(limit, maxLimit)))
	return result, err
}

func capped(terms []string) []string { return terms[:min(len(terms), maxTerms)] }

// relatedTo lists the terms related to those of a question; where there are many passages, only to those that no passage holds.
func relatedTo(terms []decouple.Term, n int) []string {
	var related []string
	for _, t := range terms {
		if n >= manyPassages && t.Passages > 0 || prose.Weak(t.Term) {
			continue
		}
		for _, r := range prose.Related(t.Term) {
			if !slices.Contains(related, r) && !slices.ContainsFunc(terms, func(o decouple.Term) bool { return o.Term == r }) {
				related = append(related, r)
			}
		}
	}
	return capped(related)
}

// matchable lists the terms by which passages are looked for: those that occur, the related ones last, and of many passages the rarest that together do not
// bring up too many. All of them count when what was found is ranked.
func matchable(terms, related []decouple.Term, n int) []string {
	said := slices.DeleteFunc(slices.Concat(terms, related), func(t decouple.Term) bool { return t.Passages == 0 })
	if n >= manyPassages {
		slices.SortStableFunc(said, func(a, b decouple.Term) int {
			return cmp.Or(cmp.Compare(weak(a), weak(b)), cmp.Compare(a.Passages, b.Passages))
		})
	}
	var out []string
	sum := 0
	for i, t := range said {
		sum += t.Passages
		if n >= manyPassages && i >= 2 && (sum > n/8 || prose.Weak(t.Term)) {
			break
		}
		out = append(out, t.Term)
	}
	return out
}

// weak is 1 for a term that questions are put with and that seldom says what they are about.
func weak(t decouple.Term) int {
	if prose.Weak(t.Term) {
		return 1
	}
	return 0
}

// rankUnits scores the units of passages.
func rankUnits(q asked, found []candidate) ([]hit, error) {
	var hits []hit
	for _, c := range found {
		card, err := decodeCard(c.card)
		if err != nil {
			return nil, err
		}
		for _, u := range card.units {
			s := card.sections[u.section]
			if score, matched := q.score(u, s, c.score/found[0].score); score > 0 {
				hits = append(hits, hit{u, s.path, c.note, score, matched})
			}
		}
	}
	return hits, nil
}

// view is what a search may see.
type view struct {
	match    string // restricts FTS5 to the sources; empty is everything
	changed  int64  // the newest change within the sources
	asOf     int64  // 0: the versions in force, which are all in the table now
	passages int
}

// view is the view of sources, remembered for as long as no note changes.
func (b *Base) view(ctx context.Context, src decouple.Sources, notes []decouple.NoteID) (view, error) {
	changed := b.index.changed.Load()
	src.AsOf = min(src.AsOf, decouple.Position(changed)) // what came after the last change is the same as that
	key := fmt.Sprintf("%d %q %q", src.AsOf, src.Paths, notes)
	b.memo.mu.Lock()
	defer b.memo.mu.Unlock()
	if b.memo.views == nil || b.memo.changed != changed || len(b.memo.views) > 1000 || len(b.memo.counts) > 20_000 {
		b.memo.changed, b.memo.views, b.memo.counts = changed, map[string]view{}, map[countKey]int{}
	}
	if v, ok := b.memo.views[key]; ok {
		return v, nil
	}
	v, err := b.index.view(ctx, src, notes)
	if err == nil {
		b.memo.views[key] = v
	}
	return v, err
}

// memo remembers what questions had to find out before they could be answered.
type memo struct {
	mu      sync.Mutex
	changed int64 // the index when the rest was true
	views   map[string]view
	counts  map[countKey]int
}

// countKey is what a count depends on.
type countKey struct {
	match   string
	asOf    int64
	changed int64
	term    string
}

// view finds out what sources allow.
func (ix *index) view(ctx context.Context, src decouple.Sources, notes []decouple.NoteID) (view, error) {
	var v view
	where, args := "1", []any{}
	if len(src.Paths) > 0 {
		var tokens, conds []string
		for _, p := range src.Paths {
			p = trimSlash(p)
			tokens = append(tokens, pathToken(p))
			conds = append(conds, "path = ? or path >= ? and path < ?")
			from, to := strings.TrimSuffix(p, "/")+"/", strings.TrimSuffix(p, "/")+"0" // 0 follows the slash
			args = append(args, p, from, to)
		}
		where = "(" + strings.Join(conds, " or ") + ")"
		v.match = "scope : (" + strings.Join(tokens, " OR ") + ")"
	}
	if len(notes) > 0 {
		tokens := make([]string, len(notes))
		marks := make([]string, len(notes))
		for i, n := range notes {
			tokens[i], marks[i] = quoted(string(n)), "?"
			args = append(args, string(n))
		}
		where += " and note in (" + strings.Join(marks, ", ") + ")"
		v.match = strings.TrimPrefix(v.match+" AND scope : ("+strings.Join(tokens, " OR ")+")", " AND ")
	}
	err := ix.db.QueryRowContext(ctx, "select coalesce(sum(case when superseded = 0 then passages else 0 end), 0), coalesce(max(max(added, superseded)), 0) from note where "+where, args...).Scan(&v.passages, &v.changed)
	if err != nil {
		return v, indexError(err)
	}
	if asOf := int64(src.AsOf); asOf > 0 && asOf < v.changed {
		v.asOf = asOf
		err = ix.db.QueryRowContext(ctx, "select coalesce(sum(passages), 0) from note where "+where+" and "+inForce, append(args, asOf, asOf)...).Scan(&v.passages)
	}
	if err == nil && v.asOf == 0 && v.match != "" {
		var all int
		if err = ix.db.QueryRowContext(ctx, "select coalesce(sum(passages), 0) from note where superseded = 0").Scan(&all); all == v.passages {
			v.match = ""
		}
	}
	return v, indexError(err)
}

// inForce is the condition on note that a version was in force at a position, which is bound twice.
const inForce = "added <= ? and (superseded = 0 or superseded > ?)"

// trimSlash takes the slash at the end of a folder away, but for the root's.
func trimSlash(p string) string {
	if len(p) > 1 {
		return strings.TrimSuffix(p, "/")
	}
	return p
}

// quoted is a term as a string of FTS5's query language.
func quoted(term string) string { return `"` + strings.ReplaceAll(term, `"`, `""`) + `"` }

// anyOf matches passages that hold one of the terms.
func anyOf(terms []string) string {
	q := make([]string, len(terms))
	for i, t := range terms {
		q[i] = quoted(t)
	}
	return "{head body} : (" + strings.Join(q, " OR ") + ")"
}

// restrict narrows an FTS5 query to the view.
func (v view) restrict(match string) string {
	if v.match == "" {
		return match
	}
	return v.match + " AND " + match
}

// countTerms says how many passages of the view hold each term.
func (b *Base) countTerms(ctx context.Context, v view, terms []string) ([]decouple.Term, error) {
	out := make([]decouple.Term, len(terms))
	for i, t := range terms {
		key := countKey{v.match, v.asOf, v.changed, t}
		b.memo.mu.Lock()
		n, ok := b.memo.counts[key]
		b.memo.mu.Unlock()
		if !ok {
			var err error
			if n, err = b.index.count(ctx, v, t); err != nil {
				return nil, err
			}
			b.memo.mu.Lock()
			b.memo.counts[key] = n
			b.memo.mu.Unlock()
		}
		out[i] = decouple.Term{Term: t, Passages: n}
	}
	return out, nil
}

// count says how many passages of the view hold a term.
func (ix *index) count(ctx context.Context, v view, term string) (int, error) {
	var n int
	var err error
	match := v.restrict(anyOf([]string{term}))
	switch {
	case v.asOf > 0:
		for _, table := range []string{"now", "old"} {
			var m int
			err = errors.Join(err, ix.db.QueryRowContext(ctx, "select count(*) from "+table+" join passage on passage.id = "+table+".rowid join note on note.id = passage.note where "+
				table+" match ? and "+inForce, match, v.asOf, v.asOf).Scan(&m))
			n += m
		}
	case v.match == "":
		err = ix.db.QueryRowContext(ctx, "select doc from vocabulary where term = ?", term).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
	default:
		err = ix.db.QueryRowContext(ctx, "select count(*) from now where now match ?", match).Scan(&n)
	}
	return n, indexError(err)
}

// candidate is a passage that may hold an answer.
type candidate struct {
	row   int64
	score float64 // larger is better
	note  *candidateNote
	card  []byte
}

// candidateNote is the note of candidates.
type candidateNote struct {
	row         int64
	id          decouple.NoteID
	title, path string
}

// candidates takes the best passages by BM25, in which headings and titles count three times. Terms of the theme count half and find nothing by themselves.
func (ix *index) candidates(ctx context.Context, v view, own, theme []string) ([]candidate, error) {
	if len(own) == 0 {
		return nil, nil
	}
	match := anyOf(own)
	if len(theme) > 0 {
		match = match + " AND " + anyOf(append(slices.Clone(own), theme...))
	}
	match = v.restrict(match)
	var found []candidate
	var err error
	if v.asOf == 0 {
		found, err = ix.top(ctx, "select rowid, rank from now where now match ? and rank match 'bm25(0.0, 3.0, 1.0)' order by rank limit ?", match, candidates+1)
	} else {
		for _, table := range []string{"now", "old"} {
			part, e := ix.top(ctx, "select "+table+".rowid, bm25("+table+", 0.0, 3.0, 1.0) as score from "+table+" join passage on passage.id = "+table+".rowid join note on note.id = passage.note where "+
				table+" match ? and "+inForce+" order by score limit ?", match, v.asOf, v.asOf, candidates+1)
			found, err = append(found, part...), errors.Join(err, e)
		}
		slices.SortFunc(found, func(a, b candidate) int { return int(sign(b.score - a.score)) })
	}
	if err != nil {
		return nil, indexError(err)
	}
	return ix.load(ctx, cutTies(found))
}

func sign(f float64) float64 {
	switch {
	case f < 0:
		return -1
	case f > 0:
		return 1
	}
	return 0
}

// cutTies keeps the best candidates. Passages as good as the first that is left out are left out too, so that the order in which they were added does not decide.
func cutTies(found []candidate) []candidate {
	if len(found) <= candidates {
		return found
	}
	end := candidates
	for end > 0 && found[end-1].score == found[candidates].score {
		end--
	}
	if end == 0 {
		end = candidates
	}
	return found[:end]
}

func (ix *index) top(ctx context.Context, query string, args ...any) ([]candidate, error) {
	rows, err := ix.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []candidate
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.row, &c.score); err != nil {
			return nil, err
		}
		c.score = max(-c.score, 1e-6) // FTS5 gives the best the smallest number
		found = append(found, c)
	}
	return found, rows.Err()
}

// load reads the cards and the notes of candidates.
func (ix *index) load(ctx context.Context, found []candidate) ([]candidate, error) {
	if len(found) == 0 {
		return nil, nil
	}
	at := map[int64]int{}
	ids := make([]string, len(found))
	for i, c := range found {
		at[c.row] = i
		ids[i] = decimal(int(c.row))
	}
	rows, err := ix.db.QueryContext(ctx, "select passage.id, passage.card, note.id, note.note, note.title, note.path from passage join note on note.id = passage.note where passage.id in ("+strings.Join(ids, ",")+")")
	if err != nil {
		return nil, indexError(err)
	}
	defer func() { _ = rows.Close() }()
	notes := map[int64]*candidateNote{}
	for rows.Next() {
		var id int64
		var card []byte
		var n candidateNote
		if err := rows.Scan(&id, &card, &n.row, &n.id, &n.title, &n.path); err != nil {
			return nil, indexError(err)
		}
		if notes[n.row] == nil {
			notes[n.row] = &n
		}
		found[at[id]].card, found[at[id]].note = card, notes[n.row]
	}
	return slices.DeleteFunc(found, func(c candidate) bool { return c.note == nil }), indexError(rows.Err())
}

// units reads the texts of hits.
func (ix *index) units(ctx context.Context, hits []hit) ([]decouple.Unit, error) {
	out := make([]decouple.Unit, len(hits))
	for i, h := range hits {
		text, err := ix.stretch(ctx, h.note.row, h.unit.start, h.unit.end)
		if err != nil {
			return nil, err
		}
		out[i] = decouple.Unit{Note: h.note.id, Title: h.note.title, Path: h.note.path, Section: notNil(h.section), Kind: h.unit.kind,
			Start: h.unit.start, End: h.unit.end, Text: text, Score: h.score, Matched: notNil(h.matched)}
	}
	return out, nil
}

// notNil makes JSON say [] rather than null.
func notNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
