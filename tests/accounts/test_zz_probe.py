from __future__ import annotations
import asyncio, base64, json, time, threading, multiprocessing, socket
from datetime import UTC, datetime
from pathlib import Path
import httpx, pytest
from jose import jwt
from credit_service.accounts import openid, tokens
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.rules import Role, Principal
from credit_service.platform.errors import Problem
from tests.accounts.test_openid import Provider, NOW, provider, keys as okeys
from tests.accounts.test_routes import make_client, ask_token
from tests.accounts.test_tokens import issue, verify, forge, ISSUER

async def test_nul_client(api):
    a = await ask_token(api, "a\x00b", "x"); assert a.status_code == 401, a.text
async def test_surrogate_secret(api):
    c,_ = await make_client(api)
    h={"Authorization":"Basic "+base64.b64encode(b"system-1:%ED%A0%80").decode()}
    a = await api.http.post("/oauth/token", data={"grant_type":"client_credentials"}, headers=h); assert a.status_code==401
async def test_nul_agency(api):
    a = await api.get("/v1/agencies/a%00b", Role.ADMINISTRATOR); assert a.status_code in (404,422), a.status_code
async def test_nul_disable(api):
    a = await api.call("POST", "/v1/clients/a%00b/disable", Role.ADMINISTRATOR); assert a.status_code in (404,422), a.status_code
async def test_nul_successor(api):
    from tests.api import AGENCY, AGENCY_NAME
    body={"name":AGENCY_NAME,"division":"500103","level":"district","successor_uscc":"a\x00b"}
    a = await api.call("PUT", f"/v1/agencies/{AGENCY}", Role.ADMINISTRATOR, json=body); assert a.status_code==422, a.status_code
async def test_nul_name(api):
    a = await api.call("POST", "/v1/clients", Role.ADMINISTRATOR, json={"client_id":"abc","name":"a\x00b","role":"auditor"}); assert a.status_code==422, a.status_code
async def test_dup_params(api):
    c,s = await make_client(api)
    a = await api.http.post("/oauth/token", content=f"grant_type=client_credentials&client_id={c}&client_id=x&client_secret={s}")
    assert (a.status_code, a.json()["error"])==(400,"invalid_request")
async def test_two_methods(api):
    c,s = await make_client(api)
    a = await api.http.post("/oauth/token", data={"grant_type":"client_credentials","client_secret":s,"client_id":c}, auth=(c,s))
    assert (a.status_code, a.json()["error"])==(400,"invalid_request")
async def test_pool(api):
    c,s = await make_client(api)
    t0=time.perf_counter()
    jobs=[asyncio.create_task(ask_token(api,"nobody%d"%i,"x")) for i in range(60)]
    await asyncio.sleep(0.05)
    t=time.perf_counter(); a=await api.get("/v1/agencies",Role.ADMINISTRATOR); dt=time.perf_counter()-t
    r=await asyncio.gather(*jobs); print("POOL admin read during flood", dt, "flood", time.perf_counter()-t0, {x.status_code for x in r})
    assert dt<0.5
def test_other_process_new_key(tmp_path):
    a,b=KeyStore(tmp_path/"k"),KeyStore(tmp_path/"k"); a.signing(); b.signing()
    b.all(); a.rotate(); t=tokens.issue(a,issuer=ISSUER,principal=Principal(id="client:r",role=Role.REGULATOR,agency_uscc="A"),now=NOW,lifetime_seconds=900)
    verify(b,t)
def test_file_vanishes(tmp_path, monkeypatch):
    s=KeyStore(tmp_path/"k"); s.rotate(); k=s.rotate(); o=KeyStore(tmp_path/"k")
    real=Path.glob
    def g(self,p):
        r=list(real(self,p)); (tmp_path/"k"/f"{k.kid}.pem").unlink(); return r
    monkeypatch.setattr(Path,"glob",g); assert len(o.all())==1
def sign(d, q, bar):
    bar.wait(); q.put(KeyStore(d).signing().kid)
def test_first(tmp_path):
    ctx=multiprocessing.get_context("fork"); q=ctx.Queue(); bar=ctx.Barrier(6)
    ps=[ctx.Process(target=sign,args=(tmp_path/"k",q,bar)) for _ in range(6)]
    [p.start() for p in ps]; r={q.get() for _ in ps}; [p.join() for p in ps]; assert len(r)==1
@pytest.mark.parametrize("doc",[[], {"issuer":None}, "x"])
async def test_disc_shapes(provider, okeys, doc):
    provider.discovery=lambda: doc
    with pytest.raises(Problem): await openid.verify(okeys, provider.token(), now=NOW)
@pytest.mark.parametrize("doc",[[], {"keys":None},{"keys":["kid"]},{"keys":[1]},{"keys":[{"kid":[]}]},{"keys":[{"kid":"first"}]},{"keys":[{"kid":"first","kty":"RSA"}]},{"keys":[{"kid":"first","kty":"RSA","n":1,"e":2}]},{"keys":[{"kid":"first","kty":"RSA","n":"","e":""}]}])
async def test_jwks_shapes(provider, okeys, doc):
    provider.jwks=lambda: doc
    with pytest.raises(Problem): await openid.verify(okeys, provider.token(), now=NOW)
@pytest.mark.parametrize("uri",["http://[", "not a url", "http://127.0.0.1:99999/x", 5])
async def test_jwks_uri(provider, okeys, uri):
    provider.discovery=lambda: {"issuer":provider.issuer,"jwks_uri":uri}
    with pytest.raises(Problem): await openid.verify(okeys, provider.token(), now=NOW)
def test_claims_odd(tmp_path):
    k=KeyStore(tmp_path/"k")
    for ch in ({"exp":10**400},{"exp":True},{"nbf":10**400},{"exp":float("nan")},{"exp":float("inf")},{"sub":None},{"aud":{}},{"credit_role":[]}):
        with pytest.raises(Problem): verify(k, forge(k,**ch))
async def test_stall(provider, okeys, monkeypatch):
    await openid.verify(okeys, provider.token(), now=NOW)
    s=socket.socket(); s.bind(("127.0.0.1",0)); s.listen(5)
    iss=okeys.issuer.issuer; provider.discovery=lambda: {"issuer":iss,"jwks_uri":f"http://127.0.0.1:{s.getsockname()[1]}/"}
    monkeypatch.setattr(openid,"KEPT_SECONDS",-1.0); monkeypatch.setattr(openid,"LEAST_SECONDS_BETWEEN_FETCHES",0.0)
    t=time.perf_counter(); await openid.verify(okeys, provider.token(), now=NOW); dt=time.perf_counter()-t; print("STALL",dt); s.close(); assert dt<1
async def test_ps256(provider, okeys):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    kid,key=next(iter(provider.keys.items()))
    p=provider.token().split(".")[1]
    h=base64.urlsafe_b64encode(json.dumps({"alg":"PS256","kid":kid}).encode()).rstrip(b"=").decode()
    sig=key.sign(f"{h}.{p}".encode(),padding.PSS(padding.MGF1(hashes.SHA256()),32),hashes.SHA256())
    await openid.verify(okeys, f"{h}.{p}."+base64.urlsafe_b64encode(sig).rstrip(b"=").decode(), now=NOW)
def b(x): return base64.urlsafe_b64encode(x if isinstance(x,bytes) else json.dumps(x).encode()).rstrip(b"=").decode()
@pytest.mark.parametrize("h,p",[({"alg":"ES256","kid":{}},{"iss":ISSUER}),({"alg":[],"kid":"x"},{"iss":ISSUER}),([],{"iss":ISSUER}),({"alg":"ES256"},[]),({"alg":"ES256"},5),({"alg":"ES256"},{"iss":[]}),(b"\xff",{"iss":ISSUER}),(b"["*3000,{"iss":ISSUER}),({"alg":"ES256"},b"["*3000),({"alg":{}},{"iss":ISSUER})])
async def test_odd_tokens(api,h,p):
    a=await api.http.post("/v1/records",json={},headers={"Authorization":f"Bearer {b(h)}.{b(p)}.AAAA"}); assert a.status_code==401,a.text
@pytest.mark.parametrize("t",["a.ÿÿÿ.c".encode("latin-1"),b"\xff\xfe",b"a.b",b"..."])
async def test_odd_bytes(api,t):
    a=await api.http.post("/v1/records",json={},headers={"Authorization":b"Bearer "+t}); assert a.status_code==401,a.text
async def test_odd_typ(api):
    k=api.app.state.keys.signing()
    for h in ({"alg":[],"kid":k.kid,"typ":"at+jwt"},{"alg":{},"kid":k.kid,"typ":"at+jwt"},{"alg":"ES256","kid":k.kid,"typ":[]}, {"alg":"ES256","kid":k.kid,"typ":"at+jwt","crit":["x"]}):
        a=await api.http.post("/v1/records",json={},headers={"Authorization":f"Bearer {b(h)}.{b({'iss':ISSUER})}.AAAA"}); assert a.status_code==401,a.text
async def test_inactive_with_successor_cycle(api):
    from tests.api import AGENCY, OTHER_AGENCY
    mk=lambda n,**k: {"name":"某机关单位","division":"500103","level":"district"}|k
    for s,o in ((AGENCY,OTHER_AGENCY),(OTHER_AGENCY,AGENCY)):
        a=await api.call("PUT",f"/v1/agencies/{s}",Role.ADMINISTRATOR,json=mk("x",active=False,successor_uscc=o)); print("CYCLE",a.status_code)
    a=await api.call("PUT",f"/v1/agencies/{AGENCY}",Role.ADMINISTRATOR,json=mk("x",active=True,successor_uscc=OTHER_AGENCY)); print("ACTIVE+SUCC",a.status_code)
    a=await api.call("PUT",f"/v1/agencies/{AGENCY}",Role.ADMINISTRATOR,json=mk("x",active=True,parent_uscc=OTHER_AGENCY.lower())); print("LOWER",a.status_code)
