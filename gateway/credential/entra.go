package credential

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"decouple.dev/decouple"
)

// EntraApp is an identity of Microsoft Entra: an application with a secret; with a token file, a workload's identity (Kubernetes); with neither, the managed identity of the machine.
type EntraApp struct {
	Tenant    string
	ClientID  string
	Secret    Secret
	TokenFile string
	Authority string // https://login.microsoftonline.com/ unless set
	Scope     string // https://cognitiveservices.azure.com/.default unless set
}

const azureScope = "https://cognitiveservices.azure.com/.default"

func newEntra(app EntraApp, client *http.Client) (Authorizer, error) {
	options := azcore.ClientOptions{Cloud: cloud.AzurePublic}
	if app.Authority != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: app.Authority}
	}
	if client != nil {
		options.Transport = client
	}
	own := app.Authority != "" // one's own authority is not among those that Microsoft lists
	var cred azcore.TokenCredential
	var err error
	switch {
	case !app.Secret.Empty():
		cred, err = azidentity.NewClientSecretCredential(app.Tenant, app.ClientID, app.Secret.Reveal(), &azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: own})
	case app.TokenFile != "":
		cred, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, ClientID: app.ClientID, TenantID: app.Tenant, TokenFilePath: app.TokenFile, DisableInstanceDiscovery: own,
		})
	default:
		managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if app.ClientID != "" {
			managed.ID = azidentity.ClientID(app.ClientID)
		}
		cred, err = azidentity.NewManagedIdentityCredential(managed)
	}
	clean := Cleaner(app.Secret)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the Entra identity cannot be used: %s", clean(err.Error()))
	}
	scope := app.Scope
	if scope == "" {
		scope = azureScope
	}
	return &bearer{tokens{fetch: func(ctx context.Context) (token, error) {
		t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			return token{}, entraError(err, clean)
		}
		return token{NewSecret(t.Token), t.ExpiresOn}, nil
	}}}, nil
}

// entraError says whether Entra refused or could not be asked. The library's texts run over many lines: the first that says something is enough.
func entraError(err error, clean func(string) string) error {
	var refused *azidentity.AuthenticationFailedError
	if errors.As(err, &refused) && refused.RawResponse != nil && refused.RawResponse.StatusCode < 500 && refused.RawResponse.StatusCode != http.StatusTooManyRequests {
		return decouple.Errorf(decouple.Unauthenticated, "Microsoft Entra refuses the identity (HTTP %d): look at AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET", refused.RawResponse.StatusCode)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return decouple.Errorf(decouple.Unavailable, "Microsoft Entra gave no token: %s", clean(text))
}
