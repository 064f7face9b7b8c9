package exposure

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// columns are what stands beside what in the drawing, from the sellers to what is behind all.
var columns = [][]Kind{{OfSeller}, {OfLab, OfRegion, OfHardware}, {OfCloud, OfMaker}, {OfIdentity, OfCDN, OfDNS}, {OfParent}}

// Sizes of the drawing, in pixels.
const (
	boxWide   = 168
	boxHigh   = 38
	boxGap    = 10
	kindGap   = 30
	columnGap = 92
	margin    = 16
	perKind   = 12 // boxes of one kind; the rest is counted
)

// spot is where a box is.
type spot struct{ x, y int }

// heading is a text above the boxes of a kind.
type heading struct {
	spot
	text string
}

// layout is where everything is.
type layout struct {
	at         map[Node]spot
	boxes      []Drawn
	heads      []heading
	wide, high int
}

// place lays the nodes out in columns, the largest first.
func place(d Drawing) layout {
	l := layout{at: map[Node]spot{}}
	for c, kinds := range columns {
		x, y := margin+c*(boxWide+columnGap), margin
		for _, k := range kinds {
			var list []Drawn
			for _, n := range d.Nodes {
				if n.Node.Kind == k {
					list = append(list, n)
				}
			}
			if len(list) == 0 {
				continue
			}
			slices.SortStableFunc(list, func(a, b Drawn) int {
				return cmp.Or(cmp.Compare(b.Exposed, a.Exposed), cmp.Compare(b.Touched, a.Touched), before(a.Node, b.Node))
			})
			text := plural[k]
			if len(list) > perKind {
				text += fmt.Sprintf(" (%d more are in the tables)", len(list)-perKind)
				list = list[:perKind]
			}
			l.heads = append(l.heads, heading{spot{x, y + 12}, text})
			y += 22
			for _, n := range list {
				l.at[n.Node] = spot{x, y}
				l.boxes = append(l.boxes, n)
				y += boxHigh + boxGap
			}
			y += kindGap - boxGap
		}
		l.high = max(l.high, y)
	}
	l.wide = 2*margin + len(columns)*boxWide + (len(columns)-1)*columnGap
	l.high = max(l.high, 60)
	return l
}

// plural are the kinds as headings have them.
var plural = map[Kind]string{OfSeller: "sellers", OfLab: "labs", OfCloud: "clouds", OfRegion: "regions", OfHardware: "accelerators", OfMaker: "makers", OfIdentity: "identity", OfCDN: "networks (CDN)", OfDNS: "names (DNS)",
	OfParent: "parents", OfAccount: "accounts", OfEndpoint: "endpoints"}

// SVG draws the graph: a box for each node, filled by the share of calls that cannot do without it; a line to what it hangs on, dashed where it does so in part.
func (r Report) SVG() string {
	l := place(r.Graph)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="What calls hang on">`, l.wide, l.high, l.wide, l.high)
	b.WriteString(svgStyle)
	for _, e := range r.Graph.Edges {
		from, ok := l.at[e.From]
		to, also := l.at[e.To]
		if !ok || !also {
			continue
		}
		class := "hard"
		if e.Strength == Partial {
			class = "partial"
		}
		fmt.Fprintf(&b, `<path class="%s" d="%s"><title>%s hangs on %s (%s, %s): %s</title></path>`, class, curve(from, to),
			html.EscapeString(e.From.String()), html.EscapeString(e.To.String()), e.Strength, html.EscapeString(string(e.Confidence)), html.EscapeString(e.Source))
	}
	for _, h := range l.heads {
		fmt.Fprintf(&b, `<text class="head" x="%d" y="%d">%s</text>`, h.x, h.y, html.EscapeString(h.text))
	}
	for _, n := range l.boxes {
		box(&b, n, l.at[n.Node])
	}
	b.WriteString("</svg>")
	return b.String()
}

// svgStyle are the colours, for a light and a dark screen.
const svgStyle = `<style>.box{fill:#fff;stroke:#8a94a6}.fill{fill:#bcd4f5}.share{font:11px system-ui,sans-serif;fill:#445}.name{font:600 12px system-ui,sans-serif;fill:#111}.head{font:600 11px system-ui,sans-serif;fill:#556;letter-spacing:.04em}` +
	`path{fill:none}.hard{stroke:#5b6b85;stroke-width:1.4}.partial{stroke:#98a3b5;stroke-width:1.1;stroke-dasharray:4 3}` +
	`@media (prefers-color-scheme:dark){.box{fill:#1b2130;stroke:#59657c}.fill{fill:#2c4a78}.share,.head{fill:#aab4c5}.name{fill:#f0f3f8}.hard{stroke:#8fa0bd}.partial{stroke:#68758c}}</style>`

// box draws one node.
func box(b *strings.Builder, n Drawn, at spot) {
	text := percent(n.Exposed) + " cannot do without"
	if n.Touched > 0 {
		text = percent(n.Exposed) + " · in part " + percent(n.Touched)
	}
	full := n.Node.Name
	name := full
	if r := []rune(name); len(r) > 24 {
		name = string(r[:23]) + "…"
	}
	fmt.Fprintf(b, `<g><title>%s</title><rect class="box" x="%d" y="%d" width="%d" height="%d" rx="5"/>`, html.EscapeString(n.Node.String()), at.x, at.y, boxWide, boxHigh)
	if wide := int(n.Exposed * (boxWide - 2)); wide > 0 {
		fmt.Fprintf(b, `<rect class="fill" x="%d" y="%d" width="%d" height="%d" rx="4"/>`, at.x+1, at.y+1, wide, boxHigh-2)
	}
	fmt.Fprintf(b, `<text class="name" x="%d" y="%d">%s</text><text class="share" x="%d" y="%d">%s</text></g>`, at.x+8, at.y+16, html.EscapeString(name), at.x+8, at.y+31, html.EscapeString(text))
}

// curve leads from one box to another: from right to left where it can, and round the right side within a column.
func curve(from, to spot) string {
	y1, y2 := from.y+boxHigh/2, to.y+boxHigh/2
	switch {
	case to.x > from.x:
		x1, x2 := from.x+boxWide, to.x
		bend := (x2 - x1) / 2
		return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
	case to.x == from.x:
		x := from.x + boxWide
		return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x, y1, x+50, y1, x+50, y2, x, y2)
	}
	x1, x2 := from.x, to.x+boxWide
	bend := (x1 - x2) / 2
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1-bend, y1, x2+bend, y2, x2, y2)
}
