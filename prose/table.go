package prose

import "strings"

// set makes a set of the words of a text.
func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// table reads "key=value" pairs.
func table(pairs string) map[string]string {
	m := map[string]string{}
	for _, p := range strings.Fields(pairs) {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}

// stop words carry no content; question words are among them.
var stop = set(`a about above after again against ain all already also although always am among amongst an and another any anyone anything are aren't as at
	be because been before being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't done down during
	each either else ever every few for from further had hadn't has hasn't have haven't having he he'd he'll her here here's hers herself him
	himself his how how's however i i'd i'll i'm i've if in instead into is isn't it it's its itself just let let's like many may me might mine more most
	much must mustn't my myself neither no nor not of off often on only or other others ought our ours ourselves out over own per please
	quite rather really same shall shan't she should shouldn't since so some someone something still such than that that's the their theirs them
	themselves then there there's these they they'd they'll they're they've this those though through thus to too toward towards under until unless
	up upon us very via was wasn't we we'd we'll we're we've were weren't what what's whatever when when's whenever where where's wherever whether which
	whichever while whilst who who's whoever whom whose why why's will with within without won't would wouldn't yet you you'd you'll you're
	you've your yours yourself yourselves`)

// weak are the terms of words that questions are put with and that seldom say what they are about.
var weak = Set(`use make mean happen work way thing want need get give take tell explain describe differ difference different purpose example kind
	sort possible possibly cause reason effect best good right correct properly ask know find look show let come one new first exact actually much soon exist available offer provide certain ever usual usually typical
	relate matter affect involve detail fact question answer understand say go`)

// Weak says that a folded term is one that questions are put with, such as "mean" or "work", and seldom what they are about.
func Weak(term string) bool { return weak[term] }

// stemmed words look as if they had an ending and have none.
var stemmed = set(`embed hundred indeed statement during nothing something everything anything string spring morning evening ceiling sibling
	series species lens always perhaps bus gas atlas alias canvas bias chaos thread instead abstract moment element segment comment apply reply supply family
	identity entity quality variant instant constant distance instance sentence sequence science evidence audience agency data meta format float heat
	beat seat repeat threat treat defeat private climate`)

// irregular forms and what they are forms of.
var irregular = table(`written=write wrote=write ran=run built=build sent=send held=hold kept=keep found=find chosen=choose chose=choose began=begin
	begun=begin broke=break broken=break gave=give given=give took=take taken=take made=make said=say shown=show known=know knew=know seen=see saw=see
	children=child indices=index indexes=index vertices=vertex matrices=matrix criteria=criterion analyses=analysis using=use used=use uses=use
	lost=lose meant=mean thrown=throw threw=throw hidden=hide spent=spend caught=catch understood=understand got=get gotten=get came=come went=go
	gone=go told=tell brought=bring bought=buy taught=teach felt=feel led=lead men=man women=woman feet=foot dying=die lying=lie tying=tie tied=tie
	added=add adding=add ended=end ending=end frozen=freeze froze=freeze stolen=steal stole=steal spoken=speak grew=grow grown=grow drawn=draw drew=draw
	older=old oldest=old newer=new newest=new larger=large largest=large smaller=small smallest=small longer=long longest=long
	higher=high highest=high lower=low lowest=low faster=fast fastest=fast bigger=big biggest=big earliest=early deeper=deep deepest=deep slower=slow slowest=slow
	shorter=short shortest=short easier=easy easiest=easy simpler=simple simplest=simple closer=close closest=close wider=wide widest=wide
	halves=half leaves=leave slept=sleep sold=sell paid=pay aliases=alias aliased=alias biases=bias buses=bus gases=gas canvases=canvas lenses=lens
	threads=thread threading=thread threaded=thread instances=instance sequences=sequence sequencing=sequence sequenced=sequence sentences=sentence statements=statement elements=element
	segments=segment comments=comment strings=string siblings=sibling constants=constant variants=variant families=family replies=reply replied=reply applies=apply applied=apply
	panicked=panic panicking=panic mimicking=mimic trafficking=traffic formats=format floats=float repeats=repeat treats=treat threats=threat distances=distance identities=identity entities=entity`)

// spelling holds what no ending tells.
var spelling = table(`centre=center centres=centers centred=centered centring=centering fibre=fiber fibres=fibers theatre=theater theatres=theaters
	calibre=caliber spectre=specter lustre=luster meagre=meager sombre=somber defence=defense defences=defenses offence=offense offences=offenses
	licence=license licences=licenses pretence=pretense programme=program programmes=programs grey=gray greys=grays artefact=artifact
	artefacts=artifacts judgement=judgment judgements=judgments acknowledgement=acknowledgment acknowledgements=acknowledgments ageing=aging
	sceptical=skeptical manoeuvre=maneuver manoeuvres=maneuvers learnt=learned spelt=spelled burnt=burned enrol=enroll fulfil=fulfill
	instalment=installment skilful=skillful wilful=willful practise=practice practises=practices practised=practiced practising=practicing
	tyre=tire tyres=tires mould=mold moulds=molds plough=plow aluminium=aluminum cheque=check cheques=checks disc=disk discs=disks
	encyclopaedia=encyclopedia archaeology=archeology anaesthetic=anesthetic oestrogen=estrogen storey=story storeys=stories paralysed=paralyzed`)

// our are the roots of words that end in -our in Britain and in -or in America.
var our = set(`behavi col fav flav harb hon hum lab neighb rum vap arm endeav savi glam od tum val vig rig ard cand clam ferv parl
	splend demean`)

// synonym maps folded terms to the one that stands for them all. Each line is a group, the first word standing for it: words of general English
// that mean nearly the same in technical prose, nouns with their verbs, and everyday abbreviations.
var synonym = groups(`
	remove delete erase eliminate removal
	start begin commence
	end finish terminate conclude
	stop halt cease
	allow permit permission
	forbid prohibit disallow ban
	directory folder dir
	choose select pick choice selection
	change modify alter modification alteration
	fast quick rapid
	big large huge
	small little tiny
	show display
	fix repair
	wrong incorrect
	fetch retrieve obtain retrieval
	find locate discover
	run execute
	call invoke invocation
	order sequence
	convert conversion transform
	keep retain preserve
	check verify validate examine inspect
	ensure guarantee
	error mistake
	add append insert
	stage phase
	several multiple
	whole entire
	maximum max
	minimum min
	parameter param
	argument arg
	configure config
	environment env
	repository repo
	document doc
	variable var
	specify spec
	develop dev
	function func
	integer int
	message msg
	library lib
	application app
	administer administrator admin
	synchronise sync synchronous
	loop iterate
	behave behaviour
	health healthy
	associate tie
	cost overhead
	prevent avoid
	contain include inclusion
	increase grow growth expand expansion
	decrease shrink reduce reduction
	pause suspend
	reply respond response
	exit quit
	refuse reject deny rejection denial
	duplicate clone
	replace substitute
	update upgrade
	exact precise
	certain sure
	enough sufficient
	hard difficult
	easy simple
	previous prior earlier former
	latest recent
	separate distinct
	main primary principal
	usual normal typical
	empty blank
	compare comparison
	fail failure
	decide decision
	define definition
	describe description
	extend extension
	lose loss
	prove proof
	absent missing
	create creation construct
	permanent persistent
	compile compiler
	assemble assembler assembly
	schedule scheduler
	parse parser
	link linker
	load loader
	debug debugger
	profile profiler
	format formatter
	install installer
	encrypt encryption
	executable binary
	maintain maintenance maintainer
	long length
	deep depth
	wide width
	high height
`)

// groups reads lines of words that fold to the first of each.
func groups(lines string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		for i, w := range words {
			if from, to := stem(spell(w)), stem(spell(words[0])); i > 0 && from != to {
				m[from] = to
			}
		}
	}
	return m
}
