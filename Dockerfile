# The server in an image that holds nothing else: no shell, no libc, nobody but an unprivileged user.
#   docker build -t marque .
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY authz authz
COPY cmd cmd
COPY configs configs
COPY keys keys
COPY store store
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /marque ./cmd/marque

FROM scratch
# For JWKS and introspection elsewhere over https, and for a Redis whose certificate a public authority issued.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /marque /usr/local/bin/marque
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/marque"]
CMD ["serve"]
