use std::collections::HashSet;

use super::moves::Moves;
use super::plan::Plan;
use super::progress::Event;
use super::survey::Survey;
use super::{Name, Transfer};
use crate::endpoint::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Manifest};

impl Transfer<'_> {
    /// Stores the manifests, the root with its name last. All blobs are there.
    pub(super) fn finish(
        &self,
        image: &str,
        plan: &Plan,
        survey: &Survey,
        name: &Name<'_>,
    ) -> Result<()> {
        let Some((root, children)) = plan.manifests.split_last() else {
            return Err(Error::content("the plan has no manifest"));
        };
        let mut resent = false;
        for manifest in children {
            let present = survey.present.contains(&manifest.digest());
            if !present {
                let put = || self.sink.put_manifest(manifest);
                self.with_all_there(image, plan, &mut resent, &put)?;
            }
            self.stored_manifest(image, manifest, present);
        }
        let repository = self.source.repository().cloned();
        let origin = Origin { resolved: plan.resolved, repository };
        self.with_all_there(image, plan, &mut resent, &|| name(root, &origin))?;
        self.stored_manifest(image, root, survey.present.contains(&root.digest()));
        self.observer.event(&Event::Done { image, digest: plan.resolved });
        Ok(())
    }

    fn stored_manifest(&self, image: &str, manifest: &Manifest, present: bool) {
        let descriptor = manifest.descriptor();
        self.observer.event(&Event::Blob { image, blob: &descriptor, present });
    }

    /// Does it; and once in a run a second time, if the sink lacks something that it had, after
    /// that was sent again.
    fn with_all_there(
        &self,
        image: &str,
        plan: &Plan,
        resent: &mut bool,
        act: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let error = match self.retrying(image, act) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let ErrorKind::Lacking { digests, .. } = error.kind() else { return Err(error) };
        if std::mem::replace(resent, true) {
            return Err(error);
        }
        log::warn!("{error}: sending again what is lacking");
        self.send_again(image, plan, digests)?;
        self.retrying(image, act)
    }

    /// Sends what the sink has named; if that says nothing, what it lacks when it is asked.
    fn send_again(&self, image: &str, plan: &Plan, named: &[Digest]) -> Result<()> {
        let named: HashSet<&Digest> = named.iter().collect();
        let mut blobs: Vec<&Descriptor> =
            plan.blobs.iter().filter(|blob| named.contains(&blob.digest)).collect();
        let mut manifests: Vec<&Manifest> =
            plan.manifests.iter().filter(|it| named.contains(&it.digest())).collect();
        if blobs.is_empty() && manifests.is_empty() {
            let present = self.survey(image, plan)?.present;
            blobs = plan.blobs.iter().filter(|blob| !present.contains(&blob.digest)).collect();
            let children = plan.manifests.split_last().map_or(&[][..], |(_, children)| children);
            manifests = children.iter().filter(|it| !present.contains(&it.digest())).collect();
        }
        if !blobs.is_empty() {
            Moves::new(self, image, blobs.into_iter()).run()?;
        }
        for manifest in manifests {
            self.retrying(image, || self.sink.put_manifest(manifest))?;
        }
        Ok(())
    }
}
