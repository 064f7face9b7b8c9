package dialect

import (
	"encoding/base64"
	"strings"

	"decouple.dev/decouple"
)

// dataURL is a medium as a data URL, or its URL.
func dataURL(m decouple.Media) string {
	if m.URL != "" {
		return m.URL
	}
	return "data:" + m.Type + ";base64," + base64.StdEncoding.EncodeToString(m.Data)
}

// readURL is the medium of a data URL, or of a URL that a server may fetch.
func readURL(field, url string) (decouple.Media, error) {
	rest, is := strings.CutPrefix(url, "data:")
	if !is {
		if url == "" {
			return decouple.Media{}, invalid(field, "it is empty")
		}
		return decouple.Media{URL: url}, nil
	}
	kind, text, ok := strings.Cut(rest, ",")
	kind, based := strings.CutSuffix(kind, ";base64")
	if !ok || !based {
		return decouple.Media{}, invalid(field, "a data URL must be data:TYPE;base64,DATA")
	}
	data, err := decodeBase64(text)
	if err != nil {
		return decouple.Media{}, invalid(field, "its data is not base64")
	}
	return decouple.Media{Type: kind, Data: data}, nil
}

// decodeBase64 reads base64 in any of its alphabets, padded or not.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// isImage says that a medium is an image, as far as can be told.
func isImage(m decouple.Media) bool {
	return strings.HasPrefix(m.Type, "image/") || m.Type == "" && m.URL != "" && m.Name == ""
}
