package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
)

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	// sigSkew is how far the clock of a caller may be off. Within it a signed request can be sent again by whoever saw it: TLS keeps others from seeing.
	sigSkew = 5 * time.Minute
	// maxSigHeader and maxSigned bound what is read of a header that anyone can send.
	maxSigHeader = 4096
	maxSigned    = 64
)

// signature is the Authorization header of a signed request.
type signature struct {
	keyID   string
	date    string // YYYYMMDD
	region  string
	service string
	signed  []string // names of headers, in lower case, ascending
	sum     []byte
}

// SignedBy is the access key id that a request says it is signed with, for example to see whether it is signed at all. It proves nothing.
func SignedBy(r *http.Request) (keyID string, signed bool) {
	v := r.Header.Get("Authorization")
	if !strings.HasPrefix(v, sigAlgorithm) {
		return "", false
	}
	s, err := parseSignature(v)
	if err != nil {
		return "", true
	}
	return s.keyID, true
}

// VerifySigV4 checks that r, whose whole body is given, was signed in the manner of AWS for Bedrock with the secret that secretOf knows for its access key id, within five
// minutes of now. The body, the host, and every header of AWS's must be covered. Whatever is wrong is Unauthenticated; whether the key or the signature is wrong is not told.
func VerifySigV4(r *http.Request, body []byte, secretOf func(accessKeyID string) (Secret, bool), now time.Time) error {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return unsigned("there must be one Authorization header")
	}
	s, err := parseSignature(values[0])
	if err != nil {
		return err
	}
	at, err := s.check(r, now)
	if err != nil {
		return err
	}
	hash, err := payloadHash(r, body)
	if err != nil {
		return err
	}
	canonical, err := s.canonical(r, hash)
	if err != nil {
		return err
	}
	secret, known := secretOf(s.keyID)
	if !known {
		secret = NewSecret("no such key") // the same work is done, so that time does not tell which keys there are
	}
	scope := s.date + "/" + s.region + "/" + s.service + "/aws4_request"
	toSign := sigAlgorithm + "\n" + at + "\n" + scope + "\n" + hexSum([]byte(canonical))
	key := []byte("AWS4" + secret.Reveal())
	for _, part := range []string{s.date, s.region, s.service, "aws4_request", toSign} {
		key = mac(key, part)
	}
	if !hmac.Equal(key, s.sum) || !known || secret.Empty() {
		return unsigned("the access key or the signature is wrong: are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY those that this gateway gave?")
	}
	return nil
}

func unsigned(why string) error {
	return decouple.Errorf(decouple.Unauthenticated, "the request is not signed as AWS requests are: %s", why)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// parseSignature reads the header. It takes nothing that AWS's own signers do not write.
func parseSignature(v string) (signature, error) {
	var s signature
	rest, ok := strings.CutPrefix(v, sigAlgorithm+" ")
	if !ok || len(v) > maxSigHeader {
		return s, unsigned("the Authorization header must begin with " + sigAlgorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " "), "=")
		if _, twice := parts[name]; !ok || twice {
			return s, unsigned("the Authorization header cannot be read")
		}
		parts[name] = value
	}
	if len(parts) != 3 {
		return s, unsigned("the Authorization header has Credential, SignedHeaders and Signature")
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || !plain(scope[0], 128) || !plain(scope[1], 8) || len(scope[1]) != 8 || !plain(scope[2], 64) || !plain(scope[3], 64) {
		return s, unsigned("Credential must be KEY/DATE/REGION/SERVICE/aws4_request")
	}
	s.keyID, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
	s.signed = strings.Split(parts["SignedHeaders"], ";")
	if len(s.signed) > maxSigned || !slices.IsSorted(s.signed) {
		return s, unsigned("SignedHeaders must be in order, and at most " + strconv.Itoa(maxSigned))
	}
	for i, name := range s.signed {
		if !plain(name, 128) || name != strings.ToLower(name) || i > 0 && name == s.signed[i-1] {
			return s, unsigned("SignedHeaders must be names in lower case, each once")
		}
	}
	sum, err := hex.DecodeString(parts["Signature"])
	if err != nil || len(sum) != sha256.Size || parts["Signature"] != strings.ToLower(parts["Signature"]) {
		return s, unsigned("Signature must be 64 hexadecimal digits in lower case")
	}
	s.sum = sum
	return s, nil
}

// plain says that a text is not empty, not long, and has only letters, digits, and - _ .
func plain(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.", c) < 0 {
			return false
		}
	}
	return true
}

// check refuses what is signed for something else, at another time, or leaves out what must be covered. It gives the time as it was signed.
func (s signature) check(r *http.Request, now time.Time) (string, error) {
	if s.service != "bedrock" {
		return "", unsigned("it is signed for another service than bedrock")
	}
	dates := r.Header.Values("X-Amz-Date")
	if len(dates) != 1 {
		return "", unsigned("there must be one X-Amz-Date header")
	}
	at, err := time.Parse(sigTime, dates[0])
	if err != nil || dates[0][:8] != s.date {
		return "", unsigned("X-Amz-Date must be of the form 20260131T235959Z, and of the day of the credential")
	}
	if off := now.Sub(at); off > sigSkew || off < -sigSkew {
		return "", unsigned("it was signed more than five minutes from now: are the clocks right?")
	}
	if q := r.URL.Query(); q.Has("X-Amz-Signature") || q.Has("X-Amz-Credential") {
		return "", unsigned("signatures in the URL are not taken")
	}
	if !slices.Contains(s.signed, "host") {
		return "", unsigned("the host must be signed")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(s.signed, lower) {
			return "", unsigned("every header of X-Amz- must be signed")
		}
	}
	return dates[0], nil
}

// payloadHash is that of the body, which a header of the request must not contradict: a payload that is not signed, or signed in pieces, is refused.
func payloadHash(r *http.Request, body []byte) (string, error) {
	hash := hexSum(body)
	for _, said := range r.Header.Values("X-Amz-Content-Sha256") {
		if said != hash {
			return "", unsigned("X-Amz-Content-Sha256 must be the hash of the body; a body that is not signed is refused")
		}
	}
	return hash, nil
}

// canonical is the request in the form that is signed.
func (s signature) canonical(r *http.Request, hash string) (string, error) {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b.WriteString(r.Method + "\n" + escapePath(path) + "\n" + canonicalQuery(r.URL) + "\n")
	for _, name := range s.signed {
		var values []string
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length": // net/http takes it out of the headers
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		default:
			values = r.Header.Values(name)
		}
		if len(values) == 0 {
			return "", unsigned("a signed header is missing")
		}
		b.WriteString(name + ":")
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.Fields(v), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n" + strings.Join(s.signed, ";") + "\n" + hash)
	return b.String(), nil
}

// escapePath escapes a path that is escaped already once more, as AWS does everywhere but in S3.
func escapePath(p string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func canonicalQuery(u *url.URL) string {
	q := u.Query()
	for _, v := range q {
		slices.Sort(v)
	}
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}
