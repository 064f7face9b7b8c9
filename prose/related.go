package prose

import (
	"slices"
	"strings"
)

// Related lists the terms that often say in technical prose what a term says in a question: "prevent" for "stop", "reserve" for "set aside". Unlike
// the synonyms that [Fold] makes one, they do not mean the same everywhere, so that a text that holds one of them matches less well than one that holds
// the term itself. Neither the term nor what folds to it is among them. The list must not be changed.
func Related(term string) []string { return related[term] }

// Plain says that a folded term is a word of everyday English that may well stand in a question without standing in the text that answers it:
// "carefully", "promise", "surprise". It is no name of a thing that a document could be about.
func Plain(term string) bool { return plain[term] }

// related holds for each term those that share a line with it.
var related = relations(`
	close shut
	remove drop discard clear uninstall strip unset withdraw
	prevent stop disable forbid suppress avoid block refrain
	disable off deactivate skip
	enable activate on
	reserve dedicate keep
	maximum limit big most cap
	minimum small least
	limit restrict bound
	location place path folder directory position
	kind type form category class sort
	start initial initialise default first
	start launch open begin
	divide division quotient
	multiply multiplication product
	improve improvement enhance better optimise
	future later upcoming planned
	consider propose plan explore
	exit leave terminate break quit end
	undo revert reverse restore rollback
	undo remove
	empty clear zero
	grow append extend increase
	copy duplicate clone
	name identifier label alias
	secret password token credential sensitive
	hide redact mask conceal
	hole vulnerability weakness
	guarantee promise assure
	order precedence priority rank
	person people user maintainer human
	owner own maintainer
	time duration timing timeout interval
	step phase stage pass
	setting option config configure configuration flag preference
	project package module
	library package module
	machine computer system host
	supply pass give hand provide
	send emit transmit
	receive accept get obtain
	text string
	number numeric count amount quantity
	letter character rune
	fast speed performance
	cost price expensive overhead
	wait block park sleep
	mutex lock
	error fault problem issue
	crash abort panic
	compare equal comparable
	same identical equal
	convert cast turn
	tell indicate report inform
	display print output view dump
	log record
	run invoke launch call
	command script
	publish release upload
	fetch download pull
	install setup
	configure setup define
	update refresh regenerate
	check test
	old legacy outdated obsolete
	website homepage url
	private local internal hidden unexported
	public export visible
	outside external
	nest inner inside
	outer enclose surround
	absent undefined unset
	allow valid legal accept support
	forbid invalid illegal
	trust rely depend
	contain hold store include carry
	store save write
	manage administer handle maintain
	effect result outcome
	result return produce yield
	connect attach associate
	size large big length
	size capacity
	long duration time
	decide determine govern control
	own custom
	foreign external third-party
	team group
	sign signature
	log-in login authenticate authentication
	permission access right privilege
	explain describe document
	search find lookup query
	list enumerate
	mark flag annotate
	comment annotation
	build compile
	generate produce create
	tool program utility
	folder workspace
	declare define
	happen occur
	ignore skip omit exclude
	omit absent
	require need must demand
	replace override substitute swap
	override precedence
	visible observe see
	split divide separate
	join concatenate merge combine
	round truncate
	negative minus
	smallest least negative
	biggest most
	overflow exceed
	unused unneeded unnecessary extraneous
	speed slow performance
	retry repeat again
	repeat iterate
	backwards previous old
	compatible compatibility
	safe safety
	reason cause
	temporary temp
	email mail
	picture image
	crypto cryptography
	disk filesystem storage
	disk folder
	bandwidth throughput
	word digit
	browser client
	offline cache
	proxy gateway
	detect discover notice
	deprecate obsolete
	version release
	sequence list
	group set
	field property attribute key
	member element
	entry element item key
	argument parameter operand
	answer response
	ask request prompt
	confirm prompt
	quiet silent
	verbose detail
	unique distinct
	random pseudo-random
	simultaneous concurrent parallel
	concurrent parallel race
`)

// relations reads lines of words that are related to each other.
func relations(lines string) map[string][]string {
	m := map[string][]string{}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		for _, from := range words {
			for _, to := range words {
				f, t := Fold(from), Fold(to)
				if f != t && !slices.Contains(m[f], t) {
					m[f] = append(m[f], t)
				}
			}
		}
	}
	return m
}

// plain are the terms of everyday words.
var plain = Set(`accident accidentally actual afford aim already anyway apart appear arrive aside attempt attention away aware back bad badly behind
	believe belong besides big bother bring brag briefly broad bulk busy careful carefully carry catch chance clever close come
	comfortable compatible complete concern confident consist crucial curious day dear decent deliberate demand
	depend deserve desire despite difficult directly discourage eager early easily effort elsewhere enough entire entirely especially
	essential even eventually everyday exactly excuse expect explain eye face fair fall familiar far favour feel fell fine finish fit follow
	forever forget forgive former formerly forth forward frequent front full fully gain gap generally gentle glad go good grant great
	guess handle happy hardly hate head hear heavily help hide hint hit hold honest hope hurt idea ideal immediately important
	impossible improve indeed intend interesting involve join keep kept lately later lead lean least leave left lend let like likely little live lot luck mainly manage manner matter maybe meant meanwhile meet mention mere mess mind miss moment mostly nature near nearly necessary neat nice nobody normal nothing notice now nowadays obvious obviously occasion occur odd opinion ordinary outer own
	particular past perfect perhaps personal piece place plain plan play plenty prefer pretty probably promise proper put
	quick quickly quite rare rarely reach ready real reality realise really receive refrain refuse regard regular remain remember rest roughly safely say
	seem sense serious serve settle shape simply sit situation slight slightly solve soon sooner special speak spend spite stand
	stay still straight strange strict strong struggle stuff sudden suddenly suggest suit suppose sure surprise surprising taste tell tend
	thank think thorough thought tidy tight tightly together toward trouble true truly trust truth try turn twice typical
	understand unlike upset useful useless usually various wait want warn weak weigh weird well wide willing win wish
	wonder wonderful world worry worth wrong never anybody nobody anywhere everywhere beginning sometimes later beyond
	leave leaving sake afterwards beforehand meantime respect refer recommend regularly reliably merely solely purely heart course`)
