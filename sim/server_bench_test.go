package sim

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkChat asks a cloud that waits for nothing, over connections that are kept, and reads every answer to its end.
func BenchmarkChat(b *testing.B) {
	for name, more := range map[string]string{"whole": "}", "stream": `,"stream":true}`} {
		b.Run(name, func(b *testing.B) {
			setup := tenClouds(b, "")
			setup.Answers = Answers{Mode: ByLength, Tokens: 200}
			for i := range setup.Clouds {
				setup.Clouds[i].Limits = Limits{}
			}
			s := start(b, setup)
			target := at(b, s, "openai") + "/v1/chat/completions"
			client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest("POST", target, strings.NewReader(chatBody+more))
					req.Header.Set("Authorization", "Bearer k")
					res, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
