package drill

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

// Chart is what the charts of a report are drawn from: shares in thousandths, in slices of time. -1 is a slice without calls.
type Chart struct {
	From      time.Duration `json:"from_ns"` // of the first slice, since the loss began
	Step      time.Duration `json:"step_ns"`
	Loss      time.Duration `json:"loss_ns"` // how long it lasts
	Well      []int         `json:"well"`    // calls that went well
	Naive     []int         `json:"status_code_router,omitempty"`
	Endpoints []Line        `json:"endpoints"` // of the answers, who gave them
}

// Line is an endpoint in a chart.
type Line struct {
	Name  string `json:"name"`
	Share []int  `json:"share"`
}

// Bounds of a chart.
const (
	slicesOfChart    = 96
	endpointsOfChart = 6
)

// plot gathers what a chart shows.
type plot struct {
	from, step time.Duration
	well, bad  []int64
	by         map[string][]int64
}

func newPlot(from, to time.Duration) *plot {
	step := max((to-from)/slicesOfChart, time.Second)
	return &plot{from: from, step: step, well: make([]int64, slicesOfChart+1), bad: make([]int64, slicesOfChart+1), by: map[string][]int64{}}
}

func (p *plot) call(e ended) {
	i := int((e.at - p.from) / p.step)
	if i < 0 || i > slicesOfChart {
		return
	}
	if e.failed || e.late {
		p.bad[i]++
	} else {
		p.well[i]++
	}
	if e.failed {
		return
	}
	if p.by[e.by] == nil {
		p.by[e.by] = make([]int64, slicesOfChart+1)
	}
	p.by[e.by][i]++
}

// thousandths is a of a+b.
func thousandths(a, b []int64, n int) []int {
	out := make([]int, n)
	for i := range n {
		out[i] = -1
		if all := a[i] + b[i]; all > 0 {
			out[i] = int((a[i]*1000 + all/2) / all)
		}
	}
	return out
}

// chart makes one of what was gathered, with another router's beside it.
func (p *plot) chart(loss time.Duration, naive *plot) *Chart {
	n := slicesOfChart + 1
	for n > 0 && p.well[n-1]+p.bad[n-1] == 0 {
		n--
	}
	c := &Chart{From: p.from, Step: p.step, Loss: loss, Well: thousandths(p.well, p.bad, n), Endpoints: []Line{}}
	if naive != nil {
		c.Naive = thousandths(naive.well, naive.bad, n)
	}
	total := make([]int64, slicesOfChart+1)
	sums := map[string]int64{}
	var names []string
	for e, list := range p.by {
		names = append(names, e)
		for i, v := range list {
			total[i] += v
			sums[e] += v
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b)) })
	others := make([]int64, slicesOfChart+1)
	line := func(name string, list []int64) {
		rest := make([]int64, len(list))
		for i := range list {
			rest[i] = total[i] - list[i]
		}
		c.Endpoints = append(c.Endpoints, Line{name, thousandths(list, rest, n)})
	}
	for i, e := range names {
		if i < endpointsOfChart {
			line(e, p.by[e])
			continue
		}
		for j, v := range p.by[e] {
			others[j] += v
		}
	}
	if len(names) > endpointsOfChart {
		line("others", others)
	}
	return c
}

// Measures of a chart on the page.
const (
	chartWide = 860
	chartHigh = 190
	padLeft   = 46
	padRight  = 10
	padTop    = 12
	padBottom = 26
)

// x is where a time is.
func (c *Chart) x(at time.Duration) float64 {
	span := c.Step * time.Duration(max(1, len(c.Well)))
	return padLeft + float64(at-c.From)/float64(span)*(chartWide-padLeft-padRight)
}

func chartY(thousandths int) float64 {
	return padTop + (1-float64(thousandths)/1000)*(chartHigh-padTop-padBottom)
}

// frame opens an SVG with the loss shaded, and the axes.
func (c *Chart) frame(b *strings.Builder, title string) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" class="chart"><title>%s</title>`, chartWide, chartHigh, html.EscapeString(title), html.EscapeString(title))
	from, to := c.x(max(0, c.From)), min(c.x(c.Loss), chartWide-padRight)
	fmt.Fprintf(b, `<rect class="loss" x="%.1f" y="%d" width="%.1f" height="%d"/>`, from, padTop, max(1, to-from), chartHigh-padTop-padBottom)
	for _, v := range []int{0, 500, 1000} {
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="axis" x="%d" y="%.1f" text-anchor="end">%d%%</text>`, padLeft, chartWide-padRight, chartY(v), chartY(v), padLeft-6, chartY(v)+4, v/10)
	}
	for _, at := range c.ticks() {
		fmt.Fprintf(b, `<text class="axis" x="%.1f" y="%d" text-anchor="middle">%s</text>`, c.x(at), chartHigh-8, brief(at))
	}
}

// ticks are round times on the axis.
func (c *Chart) ticks() []time.Duration {
	span := c.Step * time.Duration(len(c.Well))
	step := 10 * time.Second
	for _, s := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if span/step <= 8 {
			break
		}
		step = s
	}
	var out []time.Duration
	for at := time.Duration(0); at <= c.From+span; at += step {
		out = append(out, at)
	}
	return out
}

// path is a line through the slices that have calls.
func (c *Chart) path(list []int) string {
	var b strings.Builder
	pen := "M"
	for i, v := range list {
		if v < 0 {
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, c.x(c.From+c.Step*time.Duration(i)+c.Step/2), chartY(v))
		pen = "L"
	}
	return b.String()
}

// Success draws the share of calls that went well over time.
func (c *Chart) Success() string {
	var b strings.Builder
	c.frame(&b, "Share of calls that went well, over time since the loss began")
	if len(c.Naive) > 0 {
		fmt.Fprintf(&b, `<path class="naive" d="%s"/>`, c.path(c.Naive))
	}
	fmt.Fprintf(&b, `<path class="ours" d="%s"/></svg>`, c.path(c.Well))
	return b.String()
}

// Answers draws who answered, over time.
func (c *Chart) Answers() string {
	var b strings.Builder
	c.frame(&b, "Share of answers by endpoint, over time since the loss began")
	base := make([]int, len(c.Well))
	for k, line := range c.Endpoints {
		var up, down strings.Builder
		pen := "M"
		for i, v := range line.Share {
			if v < 0 {
				continue
			}
			x := c.x(c.From + c.Step*time.Duration(i) + c.Step/2)
			fmt.Fprintf(&up, "%s%.1f %.1f", pen, x, chartY(min(1000, base[i]+v)))
			pen = "L"
		}
		for i := len(line.Share) - 1; i >= 0; i-- {
			if line.Share[i] < 0 {
				continue
			}
			fmt.Fprintf(&down, "L%.1f %.1f", c.x(c.From+c.Step*time.Duration(i)+c.Step/2), chartY(base[i]))
			base[i] = min(1000, base[i]+line.Share[i])
		}
		if up.Len() > 0 {
			fmt.Fprintf(&b, `<path class="area e%d" d="%s%sZ"><title>%s</title></path>`, k%7, up.String(), down.String(), html.EscapeString(line.Name))
		}
	}
	b.WriteString("</svg>")
	return b.String()
}
