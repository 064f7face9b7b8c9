package exit

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// Sheet is a template of the register of information of Implementing Regulation (EU) 2024/2956, by its columns c0010, c0020, ...
type Sheet struct {
	Name    string     `json:"name"`    // b_02.01
	Columns []string   `json:"columns"` // c0010, ...
	Titles  []string   `json:"titles"`
	Rows    [][]string `json:"rows"`
	Unknown []string   `json:"unknown"` // columns that this program cannot know, with the reason: they are left empty
}

// CSV is the sheet as the reporting format has it.
func (s Sheet) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(s.Columns) // to memory
	_ = w.WriteAll(s.Rows)
	return b.Bytes()
}

// Institution is the financial entity that keeps the register.
type Institution struct {
	LEI string // empty is left empty
}

// placeholder begins identification codes that stand for one which this program does not know, so that the sheets refer to one another.
const placeholder = "decouple:"

const (
	yes    = "eba_BT:x28"
	no     = "eba_BT:x29"
	dollar = "eba_CU:USD"
)

// countries are the geographies that are a country, by ISO 3166-1.
var countries = map[string]string{"us": "US", "uk": "GB", "jp": "JP", "ca": "CA", "au": "AU", "in": "IN", "br": "BR", "ch": "CH", "kr": "KR", "sg": "SG", "no": "NO", "za": "ZA", "de": "DE", "fr": "FR", "se": "SE"}

func country(geo string) string {
	if c := countries[strings.ToLower(geo)]; c != "" {
		return "eba_GA:" + c
	}
	return ""
}

// Register makes the rows of the register that calls which happened, and contracts, give: B_02, B_05, B_06 and B_07.
func Register(flows []Flow, book placement.Book, cat *catalog.Catalog, by Institution, now time.Time) []Sheet {
	flows = slices.DeleteFunc(slices.Clone(flows), func(f Flow) bool { return f.here() }) // a third party is asked by the others only
	r := &register{flows: flows, cat: cat, by: by, now: now, functions: map[string]string{}}
	for _, c := range book.Contracts {
		if !c.Withdrawn {
			r.contracts = append(r.contracts, c)
		}
	}
	for _, f := range flows {
		r.functions[function(f)] = ""
	}
	for i, name := range slices.Sorted(maps.Keys(r.functions)) {
		r.functions[name] = fmt.Sprintf("F%d", i+1)
	}
	return []Sheet{r.arrangements(), r.services(), r.providers(), r.chain(), r.functionsSheet(), r.assessments()}
}

type register struct {
	flows     []Flow
	contracts []placement.Contract
	cat       *catalog.Catalog
	by        Institution
	now       time.Time
	functions map[string]string // id by name
}

// function is what an ICT service is used for, as far as this program can tell: the class of work, and the agent that does it.
func function(f Flow) string {
	return strings.TrimSuffix(cmp.Or(f.Class, "unclassified")+" / "+f.Agent, " / ")
}

// reference is the number of the arrangement under which an endpoint is used: of the contract that names its vendor, if exactly one does, else one of ours.
func (r *register) reference(f Flow) (string, *placement.Contract) {
	var found *placement.Contract
	for i := range r.contracts {
		c := &r.contracts[i]
		if names(c, f.Provider) && (found == nil || found.ID == c.ID) {
			found = c
		} else if names(c, f.Provider) {
			return placeholder + cmp.Or(f.Provider, "unknown") + "/" + f.Account, nil
		}
	}
	if found != nil {
		return found.ID, found
	}
	return placeholder + cmp.Or(f.Provider, "unknown") + "/" + f.Account, nil
}

// names says whether a minimum of spend or a party of a contract is of a vendor: then it is the contract with that vendor, and not one of others that it is bound by.
func names(c *placement.Contract, vendor string) bool {
	for _, p := range c.Parties {
		if vendor != "" && strings.EqualFold(p, vendor) {
			return true
		}
	}
	for i := range c.Clauses {
		k := &c.Clauses[i]
		if k.Kind == placement.MinCommit && slices.Contains(k.Binds.Vendors, vendor) {
			return true
		}
	}
	return false
}

func (r *register) code(provider string) string { return placeholder + cmp.Or(provider, "unknown") }

// sheet makes a sheet with numbered columns.
func sheet(name string, titles, unknown []string) Sheet {
	s := Sheet{Name: name, Titles: titles, Unknown: unknown, Rows: [][]string{}}
	for i := range titles {
		s.Columns = append(s.Columns, fmt.Sprintf("c%04d", 10*(i+1)))
	}
	return s
}

// add adds a row of named cells, once.
func (s *Sheet) add(cells ...string) {
	for i, c := range cells {
		cells[i] = plainCell(c)
	}
	if !slices.ContainsFunc(s.Rows, func(row []string) bool { return slices.Equal(row, cells) }) {
		s.Rows = append(s.Rows, cells)
	}
}

// plainCell is a text that a spreadsheet takes for nothing but text.
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// spend is the spend of a year by a key of flows, in the order of the keys.
func (r *register) spend(key func(Flow) string) (keys []string, sums map[string]decouple.Money) {
	sums = map[string]decouple.Money{}
	for _, f := range r.flows {
		sums[key(f)] += f.Year
	}
	return slices.Sorted(maps.Keys(sums)), sums
}

const codeNote = "identification codes begin with decouple: and stand for an LEI or EUID, which this program does not know: replace them in all sheets, and set the type of code beside them"

func (r *register) arrangements() Sheet {
	s := sheet("b_02.01", []string{"Contractual arrangement reference number", "Type of contractual arrangement", "Overarching contractual arrangement reference number", "Currency", "Annual expense or estimated cost"},
		[]string{"c0010: numbers that begin with decouple: stand for an arrangement of which no contract is in the book", "c0020 and c0030: whether arrangements stand alone or under another one is not in the book"})
	keys, sums := r.spend(func(f Flow) string { ref, _ := r.reference(f); return ref })
	for _, k := range keys {
		s.add(k, "", "", dollar, sums[k].String())
	}
	return s
}

func (r *register) services() Sheet {
	s := sheet("b_02.02", []string{"Contractual arrangement reference number", "LEI of the entity making use of the ICT services", "Identification code of the provider", "Type of code", "Function identifier", "Type of ICT services",
		"Start date", "End date", "Reason of the termination", "Notice period for the financial entity", "Notice period for the provider", "Country of the governing law", "Country of provision of the ICT services",
		"Storage of data", "Location of the data at rest", "Location of management of the data", "Sensitiveness of the data stored", "Level of reliance"},
		[]string{codeNote, "c0060: whether a model's interface is a service of type S18 (PaaS) or S19 (SaaS) is for the entity to say", "c0070 and c0080: only of arrangements whose contract is in the book",
			"c0090 to c0120: reasons, notice periods and governing law are not in the book", "c0130 and c0160: empty where a provider may answer from more than one country",
			"c0140, c0150: what a provider keeps is not seen from calls", "c0170, c0180: for the entity to say; the labels of the data are in the data map of `decouple exit report`"})
	for _, f := range r.flows {
		ref, c := r.reference(f)
		from, to := "", ""
		if c != nil {
			from, to = term(c)
		}
		s.add(ref, r.by.LEI, r.code(f.Provider), "", r.functions[function(f)], "", from, to, "", "", "", "", country(f.Geo), "", "", country(f.Geo), "", "")
	}
	return s
}

// term is the time of a contract's minimum of spend, or of all its clauses.
func term(c *placement.Contract) (from, to string) {
	var span placement.Span
	for i := range c.Clauses {
		k := &c.Clauses[i]
		if k.Kind == placement.MinCommit {
			span = k.Valid
			break
		}
		if !k.Valid.From.IsZero() && (span.From.IsZero() || k.Valid.From.Before(span.From)) {
			span.From = k.Valid.From
		}
	}
	return date(span.From), date(span.To)
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

func (r *register) providers() Sheet {
	s := sheet("b_05.01", []string{"Identification code of the provider", "Type of code", "Name of the provider", "Type of person", "Country of the headquarters", "Currency", "Total annual expense or estimated cost",
		"Identification code of the ultimate parent undertaking", "Type of code of the parent"},
		[]string{codeNote, "c0040, c0050, c0080, c0090: who a provider is in law is not in the catalog"})
	keys, sums := r.spend(func(f Flow) string { return f.Provider })
	for _, k := range keys {
		s.add(r.code(k), "", cmp.Or(k, "unknown"), "", "", dollar, sums[k].String(), "", "")
	}
	for _, f := range r.flows {
		if f.Cloud != "" && f.Cloud != f.Provider && !slices.Contains(keys, f.Cloud) {
			s.add(r.code(f.Cloud), "", f.Cloud, "", "", "", "", "", "") // a subcontractor: it is paid by the provider
		}
	}
	return s
}

func (r *register) chain() Sheet {
	s := sheet("b_05.02", []string{"Contractual arrangement reference number", "Type of ICT services", "Identification code of the provider", "Type of code", "Rank", "Identification code of the recipient of sub-contracted ICT services",
		"Type of code of the recipient"},
		[]string{codeNote, "c0020: as in b_02.02", "rank 2 is the cloud on whose machines the catalog says that an endpoint is; further subcontractors are not seen from calls (`decouple risk` knows public facts about some)"})
	for _, f := range r.flows {
		ref, _ := r.reference(f)
		s.add(ref, "", r.code(f.Provider), "", "1", "", "")
	}
	for _, f := range r.flows {
		if f.Cloud != "" && f.Cloud != f.Provider {
			ref, _ := r.reference(f)
			s.add(ref, "", r.code(f.Cloud), "", "2", r.code(f.Provider), "")
		}
	}
	return s
}

func (r *register) functionsSheet() Sheet {
	s := sheet("b_06.01", []string{"Function identifier", "Licensed activity", "Function name", "LEI of the financial entity", "Criticality or importance assessment", "Reasons for criticality or importance",
		"Date of the last assessment", "Recovery time objective", "Recovery point objective", "Impact of discontinuing the function"},
		[]string{"c0030: the class of work and the agent stand for the function", "c0020, c0050 to c0070, c0100: for the entity to say", "c0080, c0090: objectives are for the entity to set; measured recovery is in `decouple exit report`"})
	for _, name := range slices.Sorted(maps.Keys(r.functions)) {
		s.add(r.functions[name], "", name, r.by.LEI, "", "", "", "", "", "")
	}
	return s
}

func (r *register) assessments() Sheet {
	s := sheet("b_07.01", []string{"Contractual arrangement reference number", "Identification code of the provider", "Type of code", "Type of ICT services", "Substitutability", "Reason if not substitutable",
		"Date of the last audit", "Existence of an exit plan", "Possibility of reintegration", "Impact of discontinuing the ICT services", "Alternative providers identified", "Identification of alternative providers"},
		[]string{codeNote, "c0040: as in b_02.02", "c0050, c0060, c0090, c0100: for the entity to say, with the drills and the parity of alternates at hand", "c0070: audits of providers are not in the journal",
			"c0080: an exit plan is more than a bundle, which `decouple exit report` has the date of", "c0110 and c0120: providers of endpoints in the catalog that serve one of the same models"})
	for _, f := range r.flows {
		ref, _ := r.reference(f)
		others := r.alternates(f.Provider)
		found := yes
		if len(others) == 0 {
			found = no
		}
		s.add(ref, r.code(f.Provider), "", "", "", "", "", "", "", "", found, strings.Join(others, ", "))
	}
	return s
}

// alternates are other providers of models that a provider was asked for.
func (r *register) alternates(provider string) []string {
	models := map[catalog.ModelID]bool{}
	for _, f := range r.flows {
		if f.Provider == provider && f.Model != "" {
			models[catalog.ModelID(f.Model)] = true
		}
	}
	found := map[string]bool{}
	for _, ep := range r.cat.Endpoints {
		if models[ep.Model] && ep.Provider != provider {
			found[ep.Provider] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
