package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"decouple.dev/decouple"
)

// AWS is who signs: a pair of keys, or, without one, whoever the AWS SDK finds (a profile, a web identity, a container's or a machine's role).
type AWS struct {
	KeyID     string
	SecretKey Secret
	Session   Secret // of temporary keys
	Profile   string
	Region    string // of the signature where the host does not say it
}

// signer signs by the AWS SDK's own signer.
type signer struct {
	as     AWS
	client *http.Client
	v4     *v4.Signer

	mu    sync.Mutex
	chain aws.CredentialsProvider // keeps and renews temporary keys
}

func newSigner(as AWS, client *http.Client) (Authorizer, error) {
	if (as.KeyID == "") != as.SecretKey.Empty() {
		return nil, decouple.Errorf(decouple.Invalid, "an AWS account needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither")
	}
	return &signer{as: as, client: client, v4: v4.NewSigner()}, nil
}

// Authorize signs the call: its method, host, path, query, type of content and body.
func (s *signer) Authorize(ctx context.Context, c Call) ([]Field, error) {
	r, err := http.NewRequestWithContext(ctx, c.Method, c.URL, nil)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the URL of an AWS account cannot be called")
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range c.Header {
		if strings.EqualFold(f.Name, "Content-Type") {
			r.Header.Set("Content-Type", f.Value)
		}
	}
	sum := sha256.Sum256(c.Body)
	service, region := scopeOf(r.URL.Hostname(), s.as.Region)
	if region == "" {
		return nil, decouple.Errorf(decouple.Invalid, "a call of AWS needs a region: set AWS_REGION")
	}
	if err := s.v4.SignHTTP(ctx, keys, r, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the call cannot be signed: %w", err)
	}
	out := c.Header
	for _, name := range []string{"X-Amz-Date", "X-Amz-Security-Token", "Authorization"} {
		if v := r.Header.Get(name); v != "" {
			out = append(out, Field{name, v})
		}
	}
	return out, nil
}

// scopeOf reads service and region off a host such as bedrock-runtime.eu-central-1.amazonaws.com or bedrock-mantle.us-east-2.api.aws.
func scopeOf(host, region string) (string, string) {
	service := "bedrock"
	parts := strings.Split(host, ".")
	if parts[0] == "bedrock-mantle" {
		service = parts[0]
	}
	if len(parts) >= 4 && strings.HasPrefix(parts[0], "bedrock") {
		region = parts[1]
	}
	return service, region
}

// keys are those that sign now.
func (s *signer) keys(ctx context.Context) (aws.Credentials, error) {
	if s.as.KeyID != "" {
		return aws.Credentials{AccessKeyID: s.as.KeyID, SecretAccessKey: s.as.SecretKey.Reveal(), SessionToken: s.as.Session.Reveal()}, nil
	}
	chain, err := s.provider(ctx)
	if err == nil {
		var keys aws.Credentials
		if keys, err = chain.Retrieve(ctx); err == nil {
			return keys, nil
		}
	}
	if ctxErr := ctx.Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		return aws.Credentials{}, decouple.Errorf(decouple.KindOf(ctxErr), "no AWS credentials came in time: %w", ctxErr)
	}
	return aws.Credentials{}, decouple.Errorf(decouple.Unauthenticated, "the AWS SDK finds no credentials: %s: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role", Cleaner()(err.Error()))
}

func (s *signer) provider(ctx context.Context) (aws.CredentialsProvider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chain != nil {
		return s.chain, nil
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(s.as.Region)}
	if s.as.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.as.Profile))
	}
	if s.client != nil {
		options = append(options, config.WithHTTPClient(s.client))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	s.chain = aws.NewCredentialsCache(cfg.Credentials, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewAhead })
	return s.chain, nil
}

// Format prints what it is.
func (s *signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[AWS signer]") }
